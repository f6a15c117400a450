"""URLs of objects: s3://bucket/key, gs://bucket/key, file:///path. No library is needed."""

import re
from dataclasses import dataclass

SCHEMES = ("s3", "gs", "file")
_URL = re.compile(rf"({'|'.join(SCHEMES)})://([^/?#\s]*)/([^?#\x00-\x1f\x7f]*)")


class StorageError(Exception):
    """An object cannot be read or written. The message shows no credentials."""

    client = False
    """Whether the client named something wrong."""


class MissingObjectError(StorageError):
    """There is no such object."""

    client = True


class FolderError(StorageError):
    """There is a folder in place of the object, or an object in place of its folder."""

    client = True


class CredentialsError(StorageError):
    """No object can be used with these credentials."""


class TooLargeError(StorageError):
    """The object has more bytes than may be read."""


@dataclass(frozen=True)
class Location:
    """A parsed URL. root: its store, as s3://bucket. key: without a slash at its beginning."""

    root: str
    key: str

    def __str__(self) -> str:
        return f"{self.root}/{self.key}"


@dataclass(frozen=True)
class StoredObject:
    """An object that was written. etag: what the store calls this version of it; "" if it says nothing."""

    location: Location
    size_bytes: int
    etag: str = ""


def parse_location(url: str) -> Location:
    """Return the parts of a URL. Raises StorageError, also for a key with `.`, `..` or empty segments."""
    match = _URL.fullmatch(url if url.count("/") > 2 else f"{url}/")
    if match is None or (match[1] != "file") != bool(match[2]):
        raise StorageError("it is malformed")
    segments = match[3].removesuffix("/").split("/") if match[3] else []
    if any(segment in {"", ".", ".."} or "\\" in segment for segment in segments):
        raise StorageError("its key has empty or dotted segments")
    return Location(f"{match[1]}://{match[2]}", match[3])


def parse_prefixes(text: str) -> tuple[Location, ...]:
    """Read "s3://bucket/folder/,file:///data/". Raises ValueError with the first entry that is wrong."""
    found = []
    for entry in filter(None, (part.strip() for part in text.split(","))):
        try:
            found.append(parse_location(entry if entry.endswith("/") else f"{entry}/"))
        except StorageError as error:
            raise ValueError(entry) from error
    return tuple(found)
