"""Animations: their frames, durations and number of repetitions."""

import io
import struct
from collections.abc import Iterator, Sequence
from typing import Any

from PIL import Image

from service.images.formats import Format
from service.images.untrusted import gif

_OPAQUE_FROM = 128
_MOST_PLAYS = 65_535
_MOST_MILLISECONDS = {"gif": 655_350, "webp": 2**24 - 1, "png": 65_535_000}
"""The longest duration of a frame. Only PNG has fractions of a millisecond."""

_GIF_COLOURS = 255
"""One entry of the palette is reserved for transparency."""


def frames(image: Image.Image, count: int) -> Iterator[tuple[Image.Image, float]]:
    """Yield each of the first `count` pictures of an opened animation, whole, with its milliseconds.

    The default image of a PNG is skipped: only viewers without animations show it. Raises EOFError if there are fewer
    frames than announced, and ValueError if one is larger than the first.
    """
    first, size = int(count > 1 and bool(getattr(image, "default_image", False))), image.size
    for index in range(first, first + count):
        if count > 1:
            image.seek(index)
        image.load()
        if image.size != size:
            raise ValueError(f"frame {index} is {image.size}, the first is {size}")
        yield image, float(image.info.get("duration", 0) or 0)


def plays(image: Image.Image) -> int:
    """Return how often a WebP or PNG runs; 0 means forever."""
    return image.info.get("loop") or 0


def write(
    images: list[Image.Image], milliseconds: list[float], times: int, kind: Format, options: dict[str, Any]
) -> bytes:
    """Encode frames of one size as a GIF, WebP or PNG that runs `times` times; 0 means forever.

    Durations that the format cannot hold are rounded to whole seconds, up to its maximum.
    """
    if len({image.mode for image in images}) > 1:
        images = [image.convert("RGBA") for image in images]
    times = min(times, _MOST_PLAYS)
    if kind == "gif":
        images = [_with_palette(image) for image in images]
        if "transparency" in images[0].info:
            return _transparent_gif(images, milliseconds, times, options.get("comment", b""))
        options |= {} if times == 1 else {"loop": max(0, times - 1)}
    else:
        options |= {"loop": times}
    durations = [round(each) for each in milliseconds] if kind == "webp" else milliseconds
    try:
        return _saved(images, durations, kind, options)
    except (ValueError, OSError, ArithmeticError, RuntimeError, struct.error):
        most = _MOST_MILLISECONDS[kind] // len(images)  # the encoders merge equal frames and add their durations
        return _saved(images, [1000 * round(min(each, most) / 1000) for each in milliseconds], kind, options)


def _saved(images: list[Image.Image], milliseconds: Sequence[float], kind: Format, options: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    images[0].save(buffer, kind.upper(), save_all=True, append_images=images[1:], duration=milliseconds, **options)
    return buffer.getvalue()


def _transparent_gif(images: list[Image.Image], milliseconds: list[float], times: int, comment: bytes) -> bytes:
    """Encode whole frames with a transparent index, each on a cleared canvas.

    Pillow leaves out the index if a frame does not use it. Many viewers then clear to the background colour.
    """
    parts = [b"GIF89a", struct.pack("<HHBBB", *images[0].size, 0x70, 0, 0)]
    if times != 1:
        parts.append(b"\x21\xff\x0bNETSCAPE2.0\x03\x01" + struct.pack("<H", max(0, times - 1)) + b"\0")
    if comment:
        pieces = [comment[at : at + 255] for at in range(0, len(comment), 255)]
        parts.append(b"\x21\xfe" + b"".join(bytes([len(piece)]) + piece for piece in pieces) + b"\0")
    for image, time in zip(images, milliseconds, strict=True):
        buffer = io.BytesIO()
        image.save(buffer, "GIF", optimize=False)
        data = buffer.getvalue()
        (frame,) = gif.parse(data, 1).frames
        delay = min(round(time / 10), 0xFFFF)
        parts.append(b"\x21\xf9\x04" + struct.pack("<BHB", 2 << 2 | 1, delay, _GIF_COLOURS) + b"\0")
        parts.append(b"\x2c" + struct.pack("<HHHHB", 0, 0, *image.size, 0x87 | 0x40 * frame.interlaced))
        parts += [frame.palette.ljust(768, b"\0"), data[frame.start : frame.end]]
    return b"".join([*parts, b";"])


def _with_palette(image: Image.Image) -> Image.Image:
    """Dither a frame to its own palette. Pixels of less than half opacity become transparent."""
    colours = image.convert("RGB")
    palette = colours.quantize(_GIF_COLOURS, Image.Quantize.FASTOCTREE)  # median cut takes much longer
    answer = colours.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
    if image.mode in {"RGBA", "LA"}:
        hidden = image.getchannel("A").point([255] * _OPAQUE_FROM + [0] * (256 - _OPAQUE_FROM))
        answer.paste(_GIF_COLOURS, mask=hidden)
        answer.info["transparency"] = _GIF_COLOURS
    return answer
