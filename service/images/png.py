"""PNG files of 8 and 16 bits, written by libvips, which is several times as fast as Pillow."""

import struct
import zlib

import numpy as np
import pyvips
from numpy.typing import NDArray

from service.images.vips import single_threaded

_LEVEL, _FILTER = 2, "avg"
"""One filter for all rows. Trying all five filters would double the time (docs/results.md)."""

_HEAD_BYTES = 33
"""Length of the signature and the IHDR chunk, after which other chunks may stand."""


def write(pixels: NDArray[np.unsignedinteger], icc: bytes | None, chunks: list[tuple[bytes, bytes]]) -> bytes:
    """Encode uint8 or uint16 (H, W, 1 to 4), grey or RGB with or without alpha, with a colour profile.

    chunks: name and content of further chunks.
    """
    if icc:
        chunks = [(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc)), *chunks]
    modes = ("b-w", "srgb") if pixels.dtype == np.uint8 else ("grey16", "rgb16")
    image = single_threaded(pyvips.Image.new_from_array(pixels)).copy(interpretation=modes[pixels.shape[2] >= 3])
    png: bytes = image.pngsave_buffer(compression=_LEVEL, filter=_FILTER, keep="none")
    packed = [struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c)) for n, c in chunks]
    return b"".join([png[:_HEAD_BYTES], *packed, _without_resolution(png[_HEAD_BYTES:])])


def bits(data: bytes) -> int:
    """Return the bits of a sample, read from the header of a PNG."""
    return data[24] if len(data) > 24 else 8


def _without_resolution(chunks: bytes) -> bytes:
    """Remove the resolution, which libvips writes although it does not know it."""
    return chunks[21:] if chunks[4:8] == b"pHYs" else chunks
