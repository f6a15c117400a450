"""PNGs, written by libvips: several times as fast as by Pillow, in colours of eight bits and of sixteen."""

import struct
import zlib

import numpy as np
import pyvips
from numpy.typing import NDArray

_LEVEL, _FILTER = 2, "avg"
"""One filter for all rows: trying each of the five takes as long as all the rest (docs/results.md)."""

_HEAD_BYTES = 33
"""Signature and IHDR: what comes before all other chunks."""


def write(pixels: NDArray[np.unsignedinteger], icc: bytes | None, chunks: list[tuple[bytes, bytes]]) -> bytes:
    """Encode uint8 or uint16 (H, W, 1 to 4), grey or RGB with or without alpha, with a colour profile.

    chunks: (name, content) of what else is to be in it.
    """
    if icc:
        chunks = [(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc)), *chunks]
    modes = ("b-w", "srgb") if pixels.dtype == np.uint8 else ("grey16", "rgb16")
    image = vips(pyvips.Image.new_from_array(pixels)).copy(interpretation=modes[pixels.shape[2] >= 3])
    png: bytes = image.pngsave_buffer(compression=_LEVEL, filter=_FILTER, keep="none")
    packed = [struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c)) for n, c in chunks]
    return b"".join([png[:_HEAD_BYTES], *packed, _without_resolution(png[_HEAD_BYTES:])])


def bits(data: bytes) -> int:
    """Bits of a PNG's samples, by its header."""
    return data[24] if len(data) > 24 else 8


def vips(image: object) -> pyvips.Image:
    """The same, with libvips kept to the calling thread."""
    # Codec threads are what runs in parallel; nothing is worth remembering between requests.
    pyvips.concurrency_set(1)
    pyvips.cache_set_max(0)
    assert isinstance(image, pyvips.Image)
    return image


def _without_resolution(chunks: bytes) -> bytes:
    """libvips always says how many pixels are in a metre, and does not know it."""
    return chunks[21:] if chunks[4:8] == b"pHYs" else chunks
