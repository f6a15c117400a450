"""The directories of TIFF files and of EXIF, which has the same structure, read without decoding pixels.

Pillow reads every entry of a directory into memory. Entries may overlap, so that a few kilobytes name gigabytes: call
`is_modest` before Pillow opens a file.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

ORIENTATION = 0x0112
TILE_WIDTH, TILE_HEIGHT = 322, 323

_SUB_DIRECTORIES = frozenset({0x8769, 0x8825, 0xA005})  # EXIF, GPS, interoperability
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_UNSIGNED = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_MOST_PAGES = 1000
_MOST_PARTS = 8


@dataclass(frozen=True)
class Entry:
    """One entry of a directory. type: TIFF's number. count: number of values. start: offset of the content."""

    type: int
    count: int
    start: int

    @property
    def size(self) -> int:
        """Bytes of the content; 0 for an unknown type."""
        return self.count * _TYPE_BYTES.get(self.type, 0)


@dataclass(frozen=True)
class Directory:
    """One directory: entries by tag, single unsigned numbers by tag, and the bytes that its entries name.

    order: "<" or ">", for `struct`.
    """

    order: str
    entries: dict[int, Entry]
    numbers: dict[int, int]
    named_bytes: int

    def is_in(self, data: bytes) -> bool:
        """Return whether the values of all entries are inside the file."""
        return all(entry.start + entry.size <= len(data) for entry in self.entries.values())

    def content(self, data: bytes, tag: int) -> bytes:
        """Return the bytes of an entry's values; empty if it is missing or outside the file."""
        entry = self.entries.get(tag)
        if entry is None or entry.start + entry.size > len(data):
            return b""
        return data[entry.start : entry.start + entry.size]

    def integers(self, data: bytes, tag: int) -> tuple[int, ...]:
        """Return the values of an entry of unsigned integers; empty if it is missing."""
        content = self.content(data, tag)
        if not content or self.entries[tag].type not in _UNSIGNED:
            return ()
        return struct.unpack(f"{self.order}{self.entries[tag].count}{_UNSIGNED[self.entries[tag].type]}", content)


def first_page(data: bytes) -> Directory | None:
    """Return the directory of the first page of a TIFF, or of EXIF; None if it is damaged."""
    data = data.removeprefix(b"Exif\x00\x00")
    layout = _Layout.of(data)
    return None if layout is None else layout.directory(data, layout.first)


def directory_at(data: bytes, offset: int) -> Directory | None:
    """Return the directory at an offset of a TIFF, or of EXIF without its prefix; None if there is none."""
    layout = _Layout.of(data)
    return layout.directory(data, offset) if layout is not None and offset else None


def page_count(data: bytes) -> int:
    """Count the pages of a TIFF up to the first damaged one; at most 1000."""
    layout = _Layout.of(data)
    seen: set[int] = set()
    offset = 0 if layout is None else layout.first
    while layout is not None and offset and offset not in seen and len(seen) < _MOST_PAGES:
        extent = layout.extent(data, offset)
        if extent is None:
            break
        seen.add(offset)
        offset = layout.following(data, extent[1])
    return len(seen)


def orientation(exif: bytes) -> int:
    """Return the orientation, 1 to 8, of EXIF or a TIFF; 1 if it is missing or invalid."""
    directory = first_page(exif)
    value = directory.numbers.get(ORIENTATION, 1) if directory else 1
    return value if value in range(1, 9) else 1


def is_modest(data: bytes) -> bool:
    """Return whether the first directory, and its EXIF and GPS directories, name about as many bytes as exist."""
    data = data.removeprefix(b"Exif\x00\x00")
    return sum(directory.named_bytes for directory in _with_parts(data)) <= 2 * len(data) + 1024


def _with_parts(data: bytes) -> Iterator[Directory]:
    layout = _Layout.of(data)
    waiting = [] if layout is None else [layout.first]
    seen: set[int] = set()
    while layout is not None and waiting and len(seen) < _MOST_PARTS:
        offset = waiting.pop()
        directory = None if offset in seen else layout.directory(data, offset)
        seen.add(offset)
        if directory is not None:
            yield directory
            waiting += [directory.numbers[tag] for tag in _SUB_DIRECTORIES & directory.numbers.keys()]


@dataclass(frozen=True)
class _Layout:
    """Byte order, and whether offsets have 32 or 64 bits."""

    order: str
    big: bool
    first: int

    @classmethod
    def of(cls, data: bytes) -> "_Layout | None":
        order = {b"II": "<", b"MM": ">"}.get(data[:2])
        if order is None or len(data) < 16:
            return None
        (version,) = struct.unpack_from(order + "H", data, 2)
        if version == 43:
            return cls(order, True, struct.unpack_from(order + "Q", data, 8)[0])
        return cls(order, False, struct.unpack_from(order + "I", data, 4)[0]) if version == 42 else None

    def directory(self, data: bytes, offset: int) -> Directory | None:
        """Read a directory; None if it is outside the data."""
        extent = self.extent(data, offset)
        if extent is None:
            return None
        entries, numbers, named, inline = {}, {}, 0, 8 if self.big else 4
        entry_format = self.order + ("HHQ8s" if self.big else "HHI4s")
        entry_bytes = struct.calcsize(entry_format)
        for index, entry in enumerate(struct.iter_unpack(entry_format, data[slice(*extent)])):
            tag, kind, length, value = entry
            size = length * _TYPE_BYTES.get(kind, 0)
            named += min(size, len(data)) if size > inline else 0
            start = extent[0] + (index + 1) * entry_bytes - inline
            if size > inline:
                (start,) = struct.unpack(self.order + ("Q" if self.big else "I"), value)
            entries[tag] = Entry(kind, length, start)
            if length == 1 and kind in _UNSIGNED and size <= inline:
                (numbers[tag],) = struct.unpack_from(self.order + _UNSIGNED[kind], value)
        return Directory(self.order, entries, numbers, named)

    def extent(self, data: bytes, offset: int) -> tuple[int, int] | None:
        """Return the start and end of a directory's entries; None if they are outside the data."""
        count_format, entry_bytes = ("Q", 20) if self.big else ("H", 12)
        start = offset + struct.calcsize(self.order + count_format)
        if start > len(data):
            return None
        end = start + entry_bytes * int(struct.unpack_from(self.order + count_format, data, offset)[0])
        return (start, end) if end <= len(data) else None

    def following(self, data: bytes, end: int) -> int:
        """Return the offset of the next directory, given the end of the entries; 0 for none."""
        form = self.order + ("Q" if self.big else "I")
        return int(struct.unpack_from(form, data, end)[0]) if end + struct.calcsize(form) <= len(data) else 0
