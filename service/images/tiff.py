"""TIFF files of 8 and 16 bits, written with deflate and metadata. Pillow writes RGB with 8 bits only."""

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from service.images import exif

_STRIP_BYTES = 2**20
_LEVEL = 2
_SHORT, _LONG, _RATIONAL, _UNDEFINED = 3, 4, 5, 7
_DEFLATE, _HORIZONTAL_DIFFERENCES, _UNASSOCIATED_ALPHA = 8, 2, 2
_INCH = 2
_XMP, _IPTC, _ICC = 700, 33723, 34675


def write(
    pixels: NDArray[np.unsignedinteger],
    icc: bytes | None,
    metadata: bytes = b"",
    xmp: bytes = b"",
    iptc: bytes = b"",
    resolution: tuple[float, float] | None = None,
) -> bytes:
    """Encode uint8 or uint16 (H, W, 1 to 4), grey or RGB with or without alpha.

    metadata: EXIF from `exif.rewritten`; the file gets its byte order. resolution: pixels per inch.
    """
    order, entries, parts = exif.parsed(metadata)
    height, width, channels = pixels.shape
    rows = max(1, _STRIP_BYTES // (width * channels * pixels.itemsize))
    strips = [_packed(pixels[top : top + rows], order) for top in range(0, height, rows)]
    starts = np.cumsum([8, *(len(strip) for strip in strips)]).tolist()

    def numbers(tag: int, kind: int, *values: int) -> None:
        content = struct.pack(f"{order}{len(values)}{'H' if kind == _SHORT else 'I'}", *values)
        entries[tag] = (kind, len(values) // 2 if kind == _RATIONAL else len(values), content)

    numbers(256, _LONG, width)
    numbers(257, _LONG, height)
    numbers(258, _SHORT, *[8 * pixels.itemsize] * channels)
    numbers(259, _SHORT, _DEFLATE)
    numbers(262, _SHORT, 2 if channels >= 3 else 1)
    numbers(273, _LONG, *starts[:-1])
    numbers(277, _SHORT, channels)
    numbers(278, _LONG, rows)
    numbers(279, _LONG, *(len(strip) for strip in strips))
    numbers(284, _SHORT, 1)
    numbers(317, _SHORT, _HORIZONTAL_DIFFERENCES)
    if channels % 2 == 0:
        numbers(338, _SHORT, _UNASSOCIATED_ALPHA)
    if resolution is not None:
        for tag, value in zip((exif.X_RESOLUTION, exif.Y_RESOLUTION), resolution, strict=True):
            numbers(tag, _RATIONAL, round(value * 1000), 1000)
        numbers(exif.RESOLUTION_UNIT, _SHORT, _INCH)
    for tag, content in ((_XMP, xmp), (_IPTC, iptc), (_ICC, icc)):
        if content:
            entries[tag] = (_UNDEFINED, len(content), content)
    start = starts[-1] + starts[-1] % 2
    data = b"".join(strips).ljust(start - 8, b"\0")
    return exif.header(order, start) + data + exif.packed(order, entries, parts, start)


def _packed(rows: NDArray[np.unsignedinteger], order: str) -> bytes:
    """Compress one strip. Each row holds its first pixel, then the differences between neighbours."""
    differences = rows.copy()
    differences[:, 1:] -= rows[:, :-1]
    return zlib.compress(differences.astype(f"{order}u{rows.itemsize}").tobytes(), _LEVEL)
