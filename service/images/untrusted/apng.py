"""Animated PNG: the frames as a viewer shows them.

Each frame is decoded as a separate PNG and drawn here. Pillow draws blended frames into the copy of the canvas that it
later restores.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.images.untrusted.png import SIGNATURE, chunks

_CLEAR, _RESTORE = 1, 2
_REPLACE = 0
_MILLISECONDS = 1000.0
_DEFAULT_DENOMINATOR = 100

Rgba = NDArray[np.uint8]
"""uint8 (H, W, 4)."""


@dataclass(frozen=True)
class _Control:
    """The content of an `fcTL` chunk."""

    width: int
    height: int
    left: int
    top: int
    milliseconds: float
    disposal: int
    blend: int

    @classmethod
    def parse(cls, content: bytes) -> "_Control":
        _, width, height, left, top, delay, per_second, disposal, blend = struct.unpack(">IIIIIHHBB", content[:26])
        milliseconds = _MILLISECONDS * delay / (per_second or _DEFAULT_DENOMINATOR)
        return cls(width, height, left, top, milliseconds, disposal, blend)


def is_grey(data: bytes) -> bool:
    """Return whether the colours of the file are grey levels."""
    return data[25] in {0, 4}


def composed(data: bytes, count: int) -> Iterator[tuple[Rgba, float]]:
    """Yield each of the first `count` frames whole, and its milliseconds. Raises OSError or ValueError for damage."""
    width, height = struct.unpack(">II", data[16:24])
    canvas = np.zeros((height, width, 4), np.uint8)
    found = 0
    for control, file in _files(data):
        if found == count:
            return
        area = np.s_[control.top : control.top + control.height, control.left : control.left + control.width]
        if canvas[area].shape[:2] != (control.height, control.width):
            raise ValueError(f"frame {found} reaches beyond the picture of {width} x {height}")
        # Nothing can be restored after the first frame: the specification says to clear instead.
        clears = control.disposal == _CLEAR or (control.disposal == _RESTORE and found == 0)
        before = canvas[area].copy() if control.disposal == _RESTORE else None
        canvas[area] = _drawn(_decoded(file), canvas[area], control.blend)
        yield canvas.copy(), control.milliseconds
        found += 1
        if clears:
            canvas[area] = 0
        elif before is not None:
            canvas[area] = before
    if found < count:
        raise EOFError(f"{found} frames, {count} were announced")


def _files(data: bytes) -> Iterator[tuple[_Control, bytes]]:
    """Yield the control of each frame, and the frame as a PNG of its own."""
    header, control = b"", None
    shared: list[bytes] = []
    pixels: list[bytes] = []
    for name, content in chunks(data):
        if name == b"IHDR":
            header = content
        elif name in {b"PLTE", b"tRNS"}:
            shared.append(_chunk(name, content))
        elif name in {b"fcTL", b"IEND"}:
            if control is not None:
                yield control, _file(header, control, shared, pixels)
            control, pixels = _Control.parse(content) if name == b"fcTL" else None, []
        elif name == b"IDAT" and control is not None:  # otherwise it is the default image, which is no frame
            pixels.append(content)
        elif name == b"fdAT":
            pixels.append(content[4:])
    if control is not None:
        yield control, _file(header, control, shared, pixels)


def _file(header: bytes, control: _Control, shared: list[bytes], pixels: list[bytes]) -> bytes:
    own = struct.pack(">II", control.width, control.height) + header[8:]
    parts = [SIGNATURE, _chunk(b"IHDR", own), *shared, _chunk(b"IDAT", b"".join(pixels)), _chunk(b"IEND", b"")]
    return b"".join(parts)


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(name)))


def _decoded(file: bytes) -> Rgba:
    with Image.open(io.BytesIO(file), formats=["PNG"]) as image:
        if image.mode == "I;16":  # 16-bit grey: keep the upper 8 bits
            return np.asarray(Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGBA"))
        return np.asarray(image.convert("RGBA"))


def _drawn(frame: Rgba, canvas: Rgba, blend: int) -> Rgba:
    """Draw a frame on a part of the canvas of its size: replace the pixels, or blend over them."""
    if blend == _REPLACE:
        return frame
    return np.asarray(Image.alpha_composite(Image.fromarray(canvas), Image.fromarray(frame)))
