"""Places of images: a folder, or a prefix in an object store. Workers receive them, so they hold no connections."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from service.cli.output_paths import PlanError
from service.cli.refused import RefusedError
from service.cli.writing import refuse_unwritable, write
from service.errors import shown
from service.storage.location import Location, StorageError, parse_location

if TYPE_CHECKING:  # it needs an optional extra
    from service.storage.objects import Objects

_MOST_BYTES = 2**31
"""Of one input."""


@dataclass(frozen=True)
class Found:
    """A file in a listing. name: its path below the place, with slashes. stamp: differs if the content does."""

    name: str
    bytes: int
    stamp: str


class Place(Protocol):
    """Reads and writes files by their names below it. Raises OSError and StorageError."""

    def list(self, leave_out: str = "") -> AsyncIterator[Found]:
        """Yield the files in folders of any depth, except hidden ones. leave_out: a folder that is skipped."""

    async def read(self, name: str) -> bytes:
        """Return the content of a file."""

    async def write(self, name: str, data: bytes, media_type: str) -> None:
        """Write or replace a file. It is complete or absent at each moment."""

    def prepare(self) -> None:
        """Check that files can be written, as far as that can be known."""

    def below(self, name: str) -> "Place":
        """Return the place of a folder in it."""

    def inside(self, other: "Place") -> str | None:
        """Return the path of this place in another, "" if they are the same; None if it is elsewhere."""


@dataclass(frozen=True)
class Folder:
    """A folder on this machine, or one that all machines of a cluster mount. path: absolute."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    async def list(self, leave_out: str = "") -> AsyncIterator[Found]:
        """Yield the files, sorted within each folder."""
        skipped = self.path / leave_out if leave_out else None
        for at, folders, names in os.walk(self.path, onerror=_raise):
            here = Path(at)
            folders[:] = [each for each in sorted(folders) if not each.startswith(".") and here / each != skipped]
            for name in sorted(names):
                if not name.startswith("."):
                    path = here / name
                    status = await asyncio.to_thread(
                        path.lstat if path.is_symlink() and not path.exists() else path.stat
                    )
                    relative = path.relative_to(self.path).as_posix()
                    yield Found(relative, status.st_size, f"{status.st_size} {status.st_mtime_ns}")

    async def read(self, name: str) -> bytes:
        """Return the content of a file."""
        return await asyncio.to_thread((self.path / name).read_bytes)

    async def write(self, name: str, data: bytes, media_type: str) -> None:  # noqa: ARG002  # as a Place does
        """Write under a temporary name, synchronise, and rename."""
        await asyncio.to_thread(write, self.path / name, data)

    def prepare(self) -> None:
        """Create the folder. Raises OSError if no file can be created in it."""
        refuse_unwritable(self.path)

    def below(self, name: str) -> "Folder":
        """Return a folder in it."""
        return Folder(self.path / name)

    def inside(self, other: Place) -> str | None:
        """Return the path of this folder in another, or None. Follows links."""
        if not isinstance(other, Folder) or not self.path.resolve().is_relative_to(other.path.resolve()):
            return None
        return _relative(self.path.resolve().relative_to(other.path.resolve()).as_posix())


@dataclass(frozen=True)
class Bucket:
    """The objects below a prefix. Credentials come from the environment of each process."""

    prefix: Location

    def __str__(self) -> str:
        return str(self.prefix)

    async def list(self, leave_out: str = "") -> AsyncIterator[Found]:
        """Yield the objects page by page, sorted."""
        async for each in _objects().stream(self.prefix):
            hidden = any(part.startswith(".") for part in each.name.split("/"))
            if not hidden and not (leave_out and each.name.startswith(f"{leave_out}/")):
                yield Found(each.name, each.size, each.stamp)

    async def read(self, name: str) -> bytes:
        """Return the content of an object."""
        return await _objects().read(self._at(name), _MOST_BYTES)

    async def write(self, name: str, data: bytes, media_type: str) -> None:
        """Write or replace an object."""
        await _objects().write(self._at(name), data, media_type)

    def prepare(self) -> None:
        """Do nothing: the first object that is written tells."""

    def below(self, name: str) -> "Bucket":
        """Return a longer prefix."""
        return Bucket(self._at(name))

    def inside(self, other: Place) -> str | None:
        """Return the path of this prefix in another, or None."""
        if not isinstance(other, Bucket) or self.prefix.root != other.prefix.root:
            return None
        mine, theirs = (f"{key}/" if key else "" for key in (self.prefix.key, other.prefix.key))
        return mine.removeprefix(theirs).rstrip("/") if mine.startswith(theirs) else None

    def _at(self, name: str) -> Location:
        return Location(self.prefix.root, f"{self.prefix.key}/{name}" if self.prefix.key else name)


def parse_place(name: str, text: str) -> Place:
    """Return the folder or the prefix that the argument `name` names. Raises PlanError and RefusedError."""
    if "://" not in text:
        return Folder(Path(text).absolute())
    try:
        location = parse_location(text)
    except StorageError as error:
        raise PlanError(
            f"{name} is {shown(text)!r}: {error}; expected a folder, s3://bucket/prefix or gs://bucket/prefix"
        ) from error
    if location.root.startswith("file:"):
        return Folder(Path("/") / location.key)
    try:
        _objects()
    except ImportError as error:
        detail = f"{name} is {shown(text)!r}, which needs the package obstore: pip install 'impasto[storage]'"
        raise RefusedError("no_storage", detail, everything=True) from error
    return Bucket(Location(location.root, location.key.rstrip("/")))


@cache
def _objects() -> "Objects":
    """Return the connections of this process."""
    from service.storage.objects import Objects  # noqa: PLC0415  # needs an optional extra

    return Objects()


def _relative(path: str) -> str:
    return "" if path == "." else path


def _raise(error: OSError) -> None:
    raise error
