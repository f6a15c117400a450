"""EXIF for the output, rewritten entry by entry. The bytes of every value stay unchanged.

Entries that do not hold for the output are removed: orientation, sizes, thumbnails, and the layout of a TIFF.
"""

import struct
from collections.abc import Callable, Mapping

from service.images.untrusted import tiff
from service.images.untrusted.tiff import Directory

EXIF_IFD, GPS_IFD, INTEROPERABILITY_IFD = 0x8769, 0x8825, 0xA005
X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 0x011A, 0x011B, 0x0128

_PREFIX = b"Exif\x00\x00"
_OF_A_TIFF = frozenset({0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298, EXIF_IFD, GPS_IFD})
"""TIFF tags about the picture: description, camera, software, date, artist, rights."""

_OF_PIXELS = frozenset(
    {
        *(0x00FE, 0x00FF, 0x0100, 0x0101, 0x0102, 0x0103, 0x0106, 0x0111, tiff.ORIENTATION, 0x0115, 0x0116, 0x0117),
        *(0x011C, 0x0140, 0x0142, 0x0143, 0x0144, 0x0145, 0x014A, 0x0152, 0x0153, 0x0201, 0x0202, 0x0211, 0x0212),
        *(0x0213, 0x0214, 0x02BC, 0x83BB, 0x8649, 0x8773),
    }
)
"""Layout, orientation and thumbnail; and XMP, IPTC and the colour profile, which are stored separately."""

_UNTRUE = frozenset({0xA002, 0xA003, INTEROPERABILITY_IFD})
"""Width and height, which the output changes, and the offset of a removed directory."""

_LONG = 4
_Value = tuple[int, int, bytes]
"""Type, count and content of an entry."""

_Entries = Mapping[int, _Value]
"""Entries by tag."""


def rewritten(raw: bytes, of_a_tiff: bool) -> bytes:
    """Return the EXIF of the output, from the EXIF of a file or from a whole TIFF. Empty if nothing is kept."""
    raw = raw.removeprefix(_PREFIX)
    first = tiff.first_page(raw) if tiff.is_modest(raw) else None
    if first is None:
        return b""
    entries = dict(_kept(raw, first, lambda tag: tag in _OF_A_TIFF if of_a_tiff else tag not in _OF_PIXELS))
    parts = {}
    for pointer in (EXIF_IFD, GPS_IFD):
        entries.pop(pointer, None)
        directory = tiff.directory_at(raw, first.numbers.get(pointer, 0))
        if directory is not None and (inner := _kept(raw, directory, lambda tag: tag not in _UNTRUE)):
            parts[pointer] = inner
    return _PREFIX + header(first.order, 8) + packed(first.order, entries, parts, 8) if entries or parts else b""


def parsed(written: bytes) -> tuple[str, dict[int, _Value], dict[int, dict[int, _Value]]]:
    """Parse the result of `rewritten`: byte order, entries, and the directories below. Empty for empty input."""
    raw = written.removeprefix(_PREFIX)
    first = tiff.first_page(raw)
    if first is None:
        return "<", {}, {}
    below = {tag: tiff.directory_at(raw, first.numbers.get(tag, 0)) for tag in (EXIF_IFD, GPS_IFD)}
    parts = {tag: _kept(raw, part, lambda _: True) for tag, part in below.items() if part is not None}
    return first.order, _kept(raw, first, lambda tag: tag not in parts), parts


def header(order: str, start: int) -> bytes:
    """Return the first eight bytes of a TIFF with its directory at `start`."""
    return (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", start)


def resolution(raw: bytes) -> tuple[float, float] | None:
    """Return pixels per inch, across and down, if EXIF has them."""
    raw = raw.removeprefix(_PREFIX)
    page = tiff.first_page(raw)
    if page is None:
        return None
    unit = {2: 1.0, 3: 2.54}.get(page.numbers.get(RESOLUTION_UNIT, 2))
    values = []
    for tag in (X_RESOLUTION, Y_RESOLUTION):
        content = page.content(raw, tag)
        above, below = struct.unpack(page.order + "II", content) if len(content) == 8 else (0, 0)
        values.append(above / below if below else 0.0)
    return (values[0] * unit, values[1] * unit) if unit and all(values) else None


def _kept(raw: bytes, directory: Directory, wanted: Callable[[int], bool]) -> dict[int, _Value]:
    """Return the entries that are wanted and complete."""
    found = {}
    for tag, entry in directory.entries.items():
        content = directory.content(raw, tag)
        if wanted(tag) and content:
            found[tag] = (entry.type, entry.count, content)
    return found


def packed(order: str, entries: _Entries, parts: Mapping[int, _Entries], start: int) -> bytes:
    """Encode a directory that begins at `start`, and those below it."""
    size = _directory_bytes({**entries, **dict.fromkeys(parts, (_LONG, 1, bytes(4)))})
    body, pointers = b"", {}
    for tag, inner in parts.items():
        pointers[tag] = (_LONG, 1, struct.pack(order + "I", start + size + len(body)))
        body += _directory(order, inner, start + size + len(body))
    return _directory(order, {**entries, **pointers}, start) + body


def _directory_bytes(entries: _Entries) -> int:
    outside = sum(len(content) + len(content) % 2 for _, _, content in entries.values() if len(content) > 4)
    return 2 + 12 * len(entries) + 4 + outside


def _directory(order: str, entries: _Entries, start: int) -> bytes:
    """Encode a directory that begins at `start`, followed by its values."""
    written, outside, after = struct.pack(order + "H", len(entries)), b"", start + 2 + 12 * len(entries) + 4
    for tag, (kind, count, content) in sorted(entries.items()):
        written += struct.pack(order + "HHI", tag, kind, count)
        if len(content) > 4:
            written += struct.pack(order + "I", after + len(outside))
            outside += content + bytes(len(content) % 2)
        else:
            written += content.ljust(4, b"\0")
    return written + bytes(4) + outside
