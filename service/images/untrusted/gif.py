"""The blocks of a GIF, read without decoding, and its frames, composed as browsers do.

The background is transparent, whatever the header says, and frames are cut at the canvas. Pillow decodes the pixels of
single frames only: its own composition differs and loses palettes. Source: GIF89a specification.
"""

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Rgba = NDArray[np.uint8]
"""(H, W, 4)."""

_CLEAR, _RESTORE = 2, 3
_IMAGE, _EXTENSION, _CONTROL, _APPLICATION = 0x2C, 0x21, 0xF9, 0xFF
_LOOPS = (b"NETSCAPE2.0", b"ANIMEXTS1.0")
_INTERLACED, _HAS_PALETTE = 0x40, 0x80
_INDICES = bytes(value for index in range(256) for value in (index, 255 - index, 0))
"""A palette that is not grey, so that Pillow returns the indices unchanged."""


class GifError(OSError):
    """The file has no frame, or a frame that cannot be decoded."""


@dataclass(frozen=True)
class GifFrame:
    """One frame: its position, its display, and the position of its compressed indices in the file.

    palette: three bytes per colour. transparent: an index, or None. disposal: what happens after it was shown.
    """

    left: int
    top: int
    width: int
    height: int
    interlaced: bool
    palette: bytes
    transparent: int | None
    disposal: int
    milliseconds: float
    start: int
    end: int

    def covers(self, width: int, height: int) -> bool:
        """Return whether it covers a whole canvas."""
        return self.left == self.top == 0 and self.width >= width and self.height >= height


@dataclass(frozen=True)
class Gif:
    """The canvas, the number of repetitions (0: forever), and the frames."""

    width: int
    height: int
    plays: int
    frames: list[GifFrame]

    @property
    def may_be_transparent(self) -> bool:
        """Whether any pixel of any frame may be transparent."""
        first, *others = self.frames
        shown_on = self.frames[:-1]
        return (
            any(frame.transparent is not None for frame in self.frames[:1])
            or not first.covers(self.width, self.height)
            or (bool(others) and any(frame.disposal == _CLEAR for frame in shown_on))
            or (bool(others) and first.disposal == _RESTORE)
        )

    @property
    def is_grey(self) -> bool:
        """Whether all colours of all palettes are grey."""
        return all(frame.palette[0::3] == frame.palette[1::3] == frame.palette[2::3] for frame in self.frames)


def parse(data: bytes, most: int) -> Gif:
    """Read the blocks, up to `most` frames. Raises GifError if there is no frame."""
    width, height, flags = struct.unpack_from("<HHB", data.ljust(13, b"\0"), 6)
    common, at = _palette(data, 13, flags)
    plays, frames = 1, list[GifFrame]()
    control: tuple[int, float, int | None] = (0, 0.0, None)
    while len(frames) < most and at < len(data):
        if data[at] == _IMAGE and at + 10 < len(data):
            left, top, across, down, flags = struct.unpack_from("<HHHHB", data, at + 1)
            own, start = _palette(data, at + 10, flags)
            at = _after_blocks(data, start + 1)
            interlaced, (disposal, milliseconds, transparent) = bool(flags & _INTERLACED), control
            palette = own or common
            frames.append(
                GifFrame(left, top, across, down, interlaced, palette, transparent, disposal, milliseconds, start, at)
            )
            control = (0, 0.0, None)
        elif data[at] == _EXTENSION and at + 2 < len(data):
            kind, content = data[at + 1], data[at + 2 : at + 22]
            if kind == _CONTROL and len(content) >= 5:
                control = _control(content)
            elif kind == _APPLICATION and content[1:12] in _LOOPS and len(content) >= 16 and content[13] & 7 == 1:
                repetitions = content[14] | content[15] << 8
                plays = repetitions + 1 if repetitions else 0
            at = _after_blocks(data, at + 2)
        else:
            break
    if not frames:
        raise GifError("it has no frame")
    return Gif(width or frames[0].width, height or frames[0].height, plays, frames)


def composed(data: bytes, gif: Gif) -> Iterator[tuple[Rgba, float]]:
    """Yield each frame as shown, whole, with its milliseconds. Raises Pillow's errors for damage."""
    canvas = np.zeros((gif.height, gif.width, 4), np.uint8)
    for frame in gif.frames:
        area = np.s_[frame.top : frame.top + frame.height, frame.left : frame.left + frame.width]
        before = canvas[area].copy() if frame.disposal == _RESTORE else None
        visible = canvas[area].shape[:2]
        indices = _decoded(data, frame)[: visible[0], : visible[1]]
        colours = np.zeros((256, 4), np.uint8)
        colours[:, 3] = 255
        palette = np.frombuffer(frame.palette, np.uint8).reshape(-1, 3)
        colours[: len(palette), :3] = palette
        shown = np.ones(indices.shape, bool) if frame.transparent is None else indices != frame.transparent
        canvas[area][shown] = colours[indices[shown]]
        yield canvas.copy(), frame.milliseconds
        if frame.disposal == _CLEAR:
            canvas[area] = 0
        elif before is not None:
            canvas[area] = before


def _decoded(data: bytes, frame: GifFrame) -> NDArray[np.uint8]:
    """Decode the indices of one frame, (H, W)."""
    size = struct.pack("<HH", frame.width, frame.height)
    head = b"GIF89a" + size + b"\xf7\0\0" + _INDICES
    place = b"\x2c\0\0\0\0" + size + bytes([_INTERLACED * frame.interlaced])
    with Image.open(io.BytesIO(head + place + data[frame.start : frame.end] + b"\0;"), formats=["GIF"]) as image:
        return np.asarray(image)


def _control(content: bytes) -> tuple[int, float, int | None]:
    """Return disposal, milliseconds and transparent index of a graphic control extension."""
    flags, delay, transparent = content[1], content[2] | content[3] << 8, content[4]
    return flags >> 2 & 7, 10.0 * delay, transparent if flags & 1 else None


def _palette(data: bytes, at: int, flags: int) -> tuple[bytes, int]:
    """Return the palette that the flags announce, and the offset after it."""
    size = 3 << (flags & 7) + 1 if flags & _HAS_PALETTE else 0
    return data[at : at + size][: len(data[at : at + size]) // 3 * 3], at + size


def _after_blocks(data: bytes, at: int) -> int:
    """Return the offset after a sequence of sub-blocks."""
    while at < len(data) and data[at]:
        at += 1 + data[at]
    return at + 1
