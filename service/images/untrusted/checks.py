"""What a file can do to who merely opens it: found in its structure, before any library sees it."""

import struct
from collections.abc import Iterator

from service.errors import BrokenImageError, TooManyPixelsError
from service.images.formats import Source
from service.images.untrusted import avif, tiff

_MOST_SCANS = 100
"""A progressive JPEG has about ten. Each is a pass over all of the picture, and may be a few bytes long."""

_START_OF_SCAN = b"\xff\xda"
_DIRECTORIES_IN_JPEG = (b"Exif\x00\x00", b"MPF\x00")


def refuse(data: bytes, kind: Source, max_pixels: int) -> None:
    """Raise BrokenImageError or TooManyPixelsError for a file that is small, and would be long work or much memory."""
    if kind == "jpeg":
        _refuse_jpeg(data)
    if kind == "avif":
        _refuse_pixels(kind, "a picture", avif.coded_pixels(data), max_pixels)
    if kind == "tiff":
        if not tiff.is_modest(data):
            raise _broken(kind, "its directory names more bytes than it has")
        # Of a tile, all is decoded, however small the picture that it is for.
        if (page := tiff.first_page(data)) is not None:
            pixels = page.numbers.get(tiff.TILE_WIDTH, 0) * page.numbers.get(tiff.TILE_HEIGHT, 0)
            _refuse_pixels(kind, "a tile", pixels, max_pixels)


def gif_frames(data: bytes, most: int) -> int:
    """Pictures in a GIF, counted up to `most`: a walk over its blocks that decodes nothing.

    Raises BrokenImageError where one but the first is larger than what came before it.
    """
    width, height = struct.unpack_from("<HH", data.ljust(10, b"\0"), 6)
    count, at = 0, 13 + _palette_bytes(data, 10)
    while count < most and at + 11 < len(data):
        if data[at] == 0x2C:  # a picture
            left, top, across, down = struct.unpack_from("<HHHH", data, at + 1)
            if count and (left + across > width or top + down > height):  # Pillow would make room for it
                raise _broken("gif", f"frame {count} is larger than the animation")
            width, height, count = max(width, left + across), max(height, top + down), count + 1
            at += 11 + _palette_bytes(data, at + 9)
        elif data[at] == 0x21:  # an extension
            at += 2
        else:
            break
        while at < len(data) and data[at]:
            at += 1 + data[at]
        at += 1
    return count


def _palette_bytes(data: bytes, flags_at: int) -> int:
    flags = data[flags_at] if flags_at < len(data) else 0
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _refuse_pixels(kind: Source, what: str, pixels: int, most: int) -> None:
    if pixels > most:
        expected = f"at most {most} pixels"
        raise TooManyPixelsError(
            f"the {kind.upper()} has {what} of {pixels} pixels; expected {expected}", value=pixels, expected=expected
        )


def _refuse_jpeg(data: bytes) -> None:
    if data.count(_START_OF_SCAN) > _MOST_SCANS:
        raise _broken("jpeg", f"it has more than {_MOST_SCANS} scans")
    parts: dict[bytes, list[bytes]] = {kind: [] for kind in _DIRECTORIES_IN_JPEG}
    for segment in _application_segments(data):
        for kind in _DIRECTORIES_IN_JPEG:
            if segment.startswith(kind):
                parts[kind].append(segment.removeprefix(kind))  # Pillow joins them, and reads them on opening
    if not all(tiff.is_modest(b"".join(each)) for each in parts.values()):
        raise _broken("jpeg", "its metadata names more bytes than it has")


def _application_segments(data: bytes) -> Iterator[bytes]:
    """The segments APP0 to APP15 before the first scan."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != _START_OF_SCAN[1]:
        if data[at + 1] in {0xFF, 0x00, 0x01} or 0xD0 <= data[at + 1] <= 0xD8:  # padding, or a marker without content
            at += 1 if data[at + 1] == 0xFF else 2
            continue
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if 0xE0 <= data[at + 1] <= 0xEF:
            yield data[at + 4 : end]
        at = end


def _broken(kind: Source, why: str) -> BrokenImageError:
    return BrokenImageError(f"the {kind.upper()} is refused: {why}", value=kind, expected="an undamaged image")
