"""JPEG files, read and written by libvips.

Reading, it reports the warnings of libjpeg about damage, which Pillow ignores. Writing, it gives the bits of Pillow's
encoder, and needs no copy of the picture with four bytes per pixel.
"""

import io
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyvips
from numpy.typing import NDArray
from PIL import Image

from service.images.untrusted.jpeg import structure
from service.images.vips import pixels, reason, single_threaded

_HARMLESS = ("extraneous bytes before marker", "Inconsistent progression sequence", "read gave")
"""Warnings of libjpeg that concern no pixel, and the line with which libvips introduces every warning."""

_SIGNATURE_BYTES, _QUANTIZATION = 2, 0xDB

_one_at_a_time = threading.Lock()
"""libvips has one buffer of warnings per process."""


class JpegError(OSError):
    """A part of the image is missing or damaged."""


def read(data: bytes) -> NDArray[np.uint8]:
    """Decode a JPEG: uint8 (H, W, 1, 3 or 4), grey, RGB or CMYK, not turned by EXIF.

    Raises JpegError if the file is truncated or libjpeg reports damage. A missing end marker alone is not an error.
    """
    found = structure(data)
    if not found.has_end and not found.covered:
        raise JpegError("the file is truncated: scans are missing")
    with _one_at_a_time, _warnings() as lines:
        try:
            stored: NDArray[np.uint8] = pixels(single_threaded(_opened(found.image())))
        except pyvips.Error as error:
            raise JpegError(reason(error)) from error
    damage = [line for line in lines if not any(text in line for text in _HARMLESS)]
    if damage:
        raise JpegError(f"{damage[0]}{'' if found.has_end else '; the file is truncated'}")
    return stored


def write(pixels: NDArray[np.uint8], quality: int, full_colour: bool, segments: dict[str, Any]) -> bytes:
    """Encode uint8 (H, W, 1 or 3), grey or RGB. full_colour: False halves the resolution of the colours.

    segments: arguments of Pillow's encoder for what stands before the picture: metadata, profile, resolution.
    """
    channels = pixels.shape[2]
    image = single_threaded(pyvips.Image.new_from_array(pixels)).copy(interpretation="srgb" if channels == 3 else "b-w")
    made = image.jpegsave_buffer(Q=quality, subsample_mode="off" if full_colour else "on", keep="none")
    like = io.BytesIO()
    Image.new("RGB" if channels == 3 else "L", (1, 1)).save(like, "JPEG", **segments)
    head = like.getbuffer()
    return b"".join([head[: _tables(head)], memoryview(made)[_tables(memoryview(made)) :]])


def _tables(data: memoryview) -> int:
    """Return where the quantization tables begin: behind metadata, and before all that describes the pixels."""
    at = _SIGNATURE_BYTES
    while data[at + 1] != _QUANTIZATION:
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return at


def _opened(data: bytes) -> object:
    return pyvips.Image.new_from_buffer(data, "", fail_on="error")


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """Collect the warnings of libvips in the enclosed block, line by line.

    The block must release the image: libvips reports most warnings then.
    """
    lines: list[str] = []
    logger, handler = logging.getLogger("pyvips"), _Collector(lines)
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.WARNING)
    logger.propagate = False
    try:
        yield lines
    finally:
        logger.setLevel(before[0])
        logger.propagate = before[1]
        logger.removeHandler(handler)
        pyvips.vips_lib.vips_error_clear()


class _Collector(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        told = record.getMessage().removeprefix("VIPS: ").splitlines()
        self._lines += [line.removeprefix("VipsJpeg: ").strip() for line in told if line.strip()]
