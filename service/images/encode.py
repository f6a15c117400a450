"""Encoding of pixels in the format that the client wants. Runs on a codec thread."""

import io
from dataclasses import dataclass
from typing import Any

import mimeparse
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.errors import NotAcceptableError, ParameterError, TooManyPixelsError, shown
from service.images import animation, jpeg, png, tiff
from service.images.formats import ANIMATING, LOSSLESS, MEDIA_TYPES, Format, Source
from service.images.metadata import Metadata
from service.images.types import Header

_OWN: dict[Source, Format] = {"jpeg": "jpeg", "png": "png", "webp": "webp", "avif": "avif", "heic": "jpeg"}
"""The output format for each input format, if the client has no preference. For all others: PNG, which is lossless."""

_AVIF_SPEED = 9
_WEBP_METHOD = 1
_LOSSLESS_WEBP_EFFORT = 30
_ANIMATED_PNG_LEVEL = 1
"""The fastest useful settings of the encoders; docs/decisions/0011-images-in-and-out.md has the figures."""

_FULL_COLOUR_QUALITY = 90
"""From this quality on, colour is not subsampled: at half resolution, small strokes lose their colour."""


@dataclass(frozen=True)
class EncodeOptions:
    """The content of the file besides the pixels. quality: 1 to 100, for a format that has one.

    lossless: for WebP. milliseconds: of each frame. plays: how often an animation runs; 0 means forever.
    """

    quality: int | None
    icc: bytes | None = None
    metadata: Metadata | None = None
    milliseconds: tuple[float, ...] = (0.0,)
    plays: int = 1
    lossless: bool = False


def choose_format(asked: Format | None, accept: str | None, header: Header, lossless: bool | None = None) -> Format:
    """Choose the output format: `asked`, else what `Accept` prefers, else the format of the input.

    An animation stays one if `Accept` permits it, and only an animation becomes a GIF. lossless: True permits only
    formats without loss. Raises NotAcceptableError if the
    client accepts no supported format or the header is malformed, and ParameterError for a GIF of a still image.
    """
    if asked == "gif" and not header.animated:
        expected = [kind for kind in MEDIA_TYPES if kind != "gif"]
        raise ParameterError(
            f"format 'gif' is for animations, and this image is not animated; expected one of {', '.join(expected)}",
            parameter="format",
            value=asked,
            expected=expected,
        )
    if asked is not None:
        return asked
    possible = [
        kind for kind in MEDIA_TYPES if (header.animated or kind != "gif") and (kind in LOSSLESS or not lossless)
    ]
    own = _own(header)
    own = own if own in possible else "png"
    if not accept:
        return own
    moving = [kind for kind in possible if kind in ANIMATING]
    best = (_accepted(moving, own, accept) if header.animated else None) or _accepted(possible, own, accept)
    if best is None:
        types = [MEDIA_TYPES[kind] for kind in possible]
        raise NotAcceptableError(
            f"Accept {shown(accept)!r} names no format that can be made: {', '.join(types)}",
            parameter="Accept",
            value=shown(accept),
            expected=types,
        )
    return best


def encode(pictures: list[NDArray[np.unsignedinteger]], kind: Format, options: EncodeOptions) -> bytes:
    """Encode pictures (H, W, C), grey or RGB with or without alpha: one, or the frames of an animation.

    uint8; uint16 for TIFF and still PNG. For JPEG, transparent pixels are blended over white. Raises TooManyPixelsError
    if a WebP has too much detail for its size.
    """
    kept = options.metadata or Metadata()
    if kind == "png" and len(pictures) == 1:
        return png.write(pictures[0], options.icc, kept.png_chunks())
    if kind == "tiff":
        return tiff.write(pictures[0], options.icc, kept.exif, kept.xmp, kept.iptc, kept.resolution)
    arguments: dict[str, Any] = kept.options(kind)
    if options.icc:
        arguments["icc_profile"] = options.icc
    if kind == "jpeg":
        assert options.quality is not None
        full_colour = options.quality >= _FULL_COLOUR_QUALITY
        return jpeg.write(_over_white(pictures[0]), options.quality, full_colour, arguments)
    images = [_image(picture, kind) for picture in pictures]
    match kind:
        case "png":
            arguments |= {"compress_level": _ANIMATED_PNG_LEVEL}
        case "webp":
            arguments |= {"quality": options.quality, "method": _WEBP_METHOD}
            if options.lossless:  # quality is the effort; exact keeps the colours of invisible pixels
                arguments |= {"lossless": True, "exact": True, "quality": _LOSSLESS_WEBP_EFFORT}
        case "avif":
            arguments |= {"quality": options.quality, "speed": _AVIF_SPEED, "max_threads": 1}
            arguments |= {"subsampling": _subsampling(options)} if images[0].mode != "L" else {}
    try:
        if len(images) > 1:
            return animation.write(images, list(options.milliseconds), options.plays, kind, arguments)
        buffer = io.BytesIO()
        images[0].save(buffer, kind.upper(), **arguments)
        return buffer.getvalue()
    except (ValueError, OSError) as error:
        if kind != "webp":
            raise
        # WebP's first partition holds half a megabyte, and only the encoder notices
        raise TooManyPixelsError(
            f"the output is too large, and too rich in detail, for a WebP of quality {options.quality} ({error})",
            parameter="quality",
            value=options.quality,
            expected="a lower quality, or another format",
        ) from error


def _own(header: Header) -> Format:
    """Return the output format that is nearest to the input's."""
    if header.format == "gif" and header.animated:
        return "gif"
    if header.format == "heic" and header.alpha:  # a JPEG has no alpha
        return "png"
    return _OWN.get(header.format, "png")


def _subsampling(options: EncodeOptions) -> str:
    return "4:4:4" if (options.quality or 0) >= _FULL_COLOUR_QUALITY else "4:2:0"


def _accepted(kinds: list[Format], own: Format, accept: str) -> Format | None:
    """Return the format of `kinds` that the header prefers, or None."""
    ordered = sorted(kinds, key=lambda kind: kind == own)  # among equals, max takes the last one
    by_type = {MEDIA_TYPES[kind]: kind for kind in ordered}
    try:
        return by_type.get(mimeparse.best_match(list(by_type), accept.lower()))
    except (mimeparse.MimeTypeParseException, ValueError):
        return None


def _over_white(picture: NDArray[Any]) -> NDArray[Any]:
    """Blend transparent pixels over white: (H, W, 1 to 4) -> (H, W, 1 or 3)."""
    if picture.shape[2] % 2:
        return picture
    image = Image.fromarray(picture)
    opaque = image.convert(image.mode[:-1])
    blended = Image.composite(opaque, Image.new(opaque.mode, image.size, "white"), image.getchannel("A"))
    return np.asarray(blended).reshape(*picture.shape[:2], -1)


def _image(picture: NDArray[Any], kind: Format) -> Image.Image:
    image = Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture)
    if kind == "webp" and image.mode in {"L", "LA"}:
        return image.convert("RGB" if image.mode == "L" else "RGBA")
    return image
