"""JPEGs, decoded by libvips, which reports what libjpeg could not read. Pillow decodes the same pixels and does not."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pyvips
from numpy.typing import NDArray

from service.images.png import vips
from service.images.untrusted.jpeg import structure

_HARMLESS = ("extraneous bytes before marker", "Inconsistent progression sequence", "read gave")
"""Warnings of libjpeg after which every pixel is there, and the line with which libvips announces any."""

_one_at_a_time = threading.Lock()
"""libvips collects the texts of warnings for the whole process."""


class JpegError(OSError):
    """Some of the picture is missing or damaged."""


def read(data: bytes) -> NDArray[np.uint8]:
    """The pixels as stored: uint8 (H, W, 1, 3 or 4), grey, RGB or CMYK, not turned by EXIF.

    A missing end marker is no damage where every coefficient is there. Raises JpegError for what is truncated, or
    damaged so that libjpeg notices.
    """
    found = structure(data)
    if not found.has_end and not found.covered:
        raise JpegError("the file is truncated: scans are missing")
    with _one_at_a_time, _warnings() as lines:
        try:
            pixels: NDArray[np.uint8] = vips(pyvips.Image.new_from_buffer(found.image(), "", fail_on="error")).numpy()
        except pyvips.Error as error:
            raise JpegError(str(error).strip().splitlines()[-1]) from error
    damage = [line for line in lines if not any(text in line for text in _HARMLESS)]
    if damage:
        raise JpegError(f"{damage[0]}{'' if found.has_end else '; the file is truncated'}")
    return pixels if pixels.ndim == 3 else pixels[..., None]


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """What libvips warns of within, line by line. The image must be released within: most is told then."""
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
