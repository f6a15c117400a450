"""The image files that the arguments name: files, folders, patterns, and "-" for standard input."""

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

STANDARD = "-"
_PICTURE_SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .apng .webp .avif .avifs .gif .tif .tiff .bmp .dib .heic .heif".split()  # noqa: SIM905
)


@dataclass(frozen=True)
class Source:
    """An image to read.

    path: None for standard input, whose bytes are read into `data`. below: its folder, relative to the named folder.
    """

    path: Path | None
    below: Path = Path()
    data: bytes = field(default=b"", repr=False)

    def read(self) -> bytes:
        """Return its bytes. Raises OSError."""
        return self.data if self.path is None else self.path.read_bytes()

    @property
    def name(self) -> str:
        """The name in messages."""
        return STANDARD if self.path is None else str(self.path)


def find(named: Sequence[str], recursive: bool, leave_out: Path | None) -> Iterator[Source]:
    """Yield the images that the arguments name, in order, each once, and the names of those that do not exist.

    A folder contributes the files with an image suffix, except hidden ones. `recursive` includes subfolders. leave_out:
    a folder that is not searched, because it receives the outputs.
    """
    seen: set[Path] = set()
    for source in _each(named, recursive, leave_out):
        key = Path(os.path.abspath(source.path)) if source.path else Path(STANDARD)  # noqa: PTH100  # links stay links
        if key not in seen:
            seen.add(key)
            yield source


def is_picture_name(name: str) -> bool:
    """Return whether a file name has an image suffix."""
    return Path(name).suffix.lower() in _PICTURE_SUFFIXES


def _each(named: Sequence[str], recursive: bool, leave_out: Path | None) -> Iterator[Source]:
    for name in named:
        path = Path(name)
        if name == STANDARD:
            yield Source(None)
        elif path.is_dir():
            yield from _in_folder(path, recursive, leave_out)
        elif not path.exists() and glob.has_magic(name):
            matches = sorted(glob.glob(name, recursive=True))  # noqa: PTH207  # Path.glob takes no absolute pattern
            if not matches:
                yield Source(path)
            for match in map(Path, matches):
                yield from _in_folder(match, recursive, leave_out) if match.is_dir() else [Source(match)]
        else:
            yield Source(path)


def _in_folder(folder: Path, recursive: bool, leave_out: Path | None) -> Iterator[Source]:
    for at, folders, names in os.walk(folder):
        here = Path(at)
        kept = [each for each in sorted(folders) if not each.startswith(".") and not _same(here / each, leave_out)]
        folders[:] = kept if recursive else []
        for name in sorted(names):
            if not name.startswith(".") and is_picture_name(name):
                yield Source(here / name, here.relative_to(folder))


def _same(path: Path, other: Path | None) -> bool:
    return other is not None and other.exists() and path.samefile(other)
