"""JPEG files, decoded by libvips. It reports the warnings of libjpeg about damage, which Pillow ignores."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pyvips
from numpy.typing import NDArray

from service.images.untrusted.jpeg import structure
from service.images.vips import pixels, reason, single_threaded

_HARMLESS = ("extraneous bytes before marker", "Inconsistent progression sequence", "read gave")
"""Warnings of libjpeg that concern no pixel, and the line with which libvips introduces every warning."""

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
