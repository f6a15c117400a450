"""Objects below allowed prefixes, by URL: s3://bucket/key, gs://bucket/key, file:///path."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import obstore
from obstore.exceptions import BaseError, NotFoundError, PermissionDeniedError, UnauthenticatedError
from obstore.store import ObjectStore, from_url

from service.storage.location import (
    CredentialsError,
    FolderError,
    Location,
    MissingObjectError,
    StorageError,
    StoredObject,
    TooLargeError,
)
from service.storage.source import Listed

_RETRIES, _RETRY_SECONDS, _SECONDS = 2, 15, 60
_DENIED = re.compile(r"\b403 Forbidden\b|<Code>AccessDenied</Code>")

_NOBODY = re.compile(
    r"\b401 Unauthorized\b|<Code>(ExpiredToken|InvalidAccessKeyId|InvalidToken|SignatureDoesNotMatch)</Code>"
)
"""Not the refusal of one object."""

_FOLDER = re.compile(r"\(os error (?:17|20|21)\)")
"""EEXIST, ENOTDIR, EISDIR: of a local path that is a folder, or has a file for one of its folders."""


class Objects:
    """Reads and writes objects. Safe to use from several threads; each store keeps its connections."""

    def __init__(self) -> None:
        self._stores: dict[str, ObjectStore] = {}

    async def read(self, location: Location, most_bytes: int) -> bytes:
        """Return an object. Raises StorageError."""
        try:
            found = await obstore.get_async(self._store(location), location.key)
            if found.meta["size"] > most_bytes:
                raise TooLargeError(f"it has {found.meta['size']} bytes; expected at most {most_bytes}")
            return bytes(await found.bytes_async())
        except (BaseError, OSError) as error:
            raise _plain(error) from error

    async def write(self, location: Location, data: bytes, media_type: str) -> StoredObject:
        """Write or replace an object. It is complete or absent at each moment. Raises StorageError."""
        typed: Any = {} if location.root.startswith("file:") else {"attributes": {"Content-Type": media_type}}
        try:
            done = await obstore.put_async(self._store(location), location.key, data, use_multipart=False, **typed)
        except (BaseError, OSError) as error:
            if isinstance(error, (NotFoundError, FileNotFoundError)):
                raise StorageError("there is no such bucket") from error
            if _FOLDER.search(str(error)):
                raise FolderError("it is a folder") from error
            raise _plain(error) from error
        return StoredObject(location, len(data), done["e_tag"] or "")

    async def delete(self, location: Location) -> None:
        """Delete an object, if there is one. Raises StorageError."""
        try:
            await obstore.delete_async(self._store(location), location.key)
        except (NotFoundError, FileNotFoundError):
            return
        except (BaseError, OSError) as error:
            raise _plain(error) from error

    async def list(self, prefix: Location) -> list[Listed]:
        """Return all objects below a prefix. Raises StorageError."""
        return [found async for found in self.stream(prefix)]

    async def stream(self, prefix: Location) -> AsyncIterator[Listed]:
        """Yield the objects below a prefix, page by page. Raises StorageError."""
        start = prefix.key.rstrip("/") + "/" if prefix.key else ""
        try:
            pages = cast("AsyncIterator[list[dict[str, Any]]]", obstore.list(self._store(prefix), start or None))
            async for page in pages:
                for each in page:
                    stamp = f"{each['e_tag']} {each['last_modified'].isoformat()}"
                    yield Listed(each["path"].removeprefix(start), each["size"], stamp)
        except (BaseError, OSError) as error:
            raise _plain(error) from error

    async def copy_to(self, location: Location, path: Path, size: int) -> None:
        """Copy an object to a file under a temporary name, then rename it. Raises StorageError and OSError."""
        part = path.with_name(f".{path.name}.part")
        try:
            found = await obstore.get_async(self._store(location), location.key)
            with part.open("wb") as file:
                async for chunk in found.stream(min_chunk_size=2**22):
                    await asyncio.to_thread(file.write, bytes(chunk))
            if part.stat().st_size != size:
                raise StorageError(f"{location}: {part.stat().st_size} bytes came; expected {size}")
            part.replace(path)
        except BaseError as error:
            raise _plain(error) from error
        finally:
            part.unlink(missing_ok=True)

    def _store(self, location: Location) -> ObjectStore:
        if location.root not in self._stores:
            seconds = timedelta(seconds=_SECONDS)
            retries: Any = {"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=_RETRY_SECONDS)}
            client: Any = {"timeout": seconds, "allow_http": _allows_http()}
            options: dict[str, Any] = {"retry_config": retries, "client_options": client}
            is_file = location.root.startswith("file:")
            self._stores[location.root] = from_url(f"{location.root}/", **({} if is_file else options))
        return self._stores[location.root]


class PrefixSource:
    """The objects below a prefix."""

    pinned = False

    def __init__(self, prefix: Location, objects: Objects) -> None:
        self._prefix, self._objects = prefix, objects

    async def list(self) -> list[Listed]:
        """Return all objects, with their names relative to the prefix."""
        return await self._objects.list(self._prefix)

    async def copy_to(self, file: Listed, path: Path) -> None:
        """Copy an object. The store verifies nothing but its size; the registry verifies each checkpoint."""
        key = f"{self._prefix.key.rstrip('/')}/{file.name}".lstrip("/")
        await self._objects.copy_to(Location(self._prefix.root, key), path, file.size)


def _allows_http() -> bool:
    """Read AWS_ALLOW_HTTP, which the library leaves out when it is given other options of its client."""
    return os.environ.get("AWS_ALLOW_HTTP", "").lower() in {"1", "true"}


def _plain(error: Exception) -> StorageError:
    """Return an error without what the library tells of requests and credentials."""
    if isinstance(error, (NotFoundError, FileNotFoundError)):
        return MissingObjectError("there is no such object")
    denied = isinstance(error, (PermissionDeniedError, UnauthenticatedError, PermissionError))
    unknown = _NOBODY.search(str(error))
    if denied or unknown or _DENIED.search(str(error)):  # a listing raises a plain error
        kind = CredentialsError if unknown else StorageError
        return kind("the service may not use it: its credentials are missing, wrong or expired")
    return StorageError(f"the store does not respond as expected ({type(error).__name__})")
