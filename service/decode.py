"""Bytes of a stranger -> pixels, with every doubt settled before memory is spent. Runs on a codec thread."""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from service.errors import BodyError, BrokenImageError, TooManyPixelsError, UnsupportedImageError
from service.formats import MEDIA_TYPES, Format, guess, sniff

_WITH_ALPHA = frozenset({"RGBA", "LA", "PA", "RGBa", "La"})
_SIXTEEN_BIT_GREY = frozenset({"I;16", "I;16B", "I;16L", "I"})


@dataclass(frozen=True)
class Decoded:
    """A picture and what must be put back around the network's answer.

    pixels: uint8 (H, W, 3), RGB, upright. alpha: uint8 (H, W), or None where there is no transparency.
    icc: the RGB colour profile, or None. format: what the picture came as.
    """

    pixels: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None
    icc: bytes | None
    format: Format


def decode(data: bytes, max_pixels: int) -> Decoded:
    """Decode a JPEG, PNG or WebP of at most `max_pixels`.

    Raises BodyError (empty), UnsupportedImageError (another format), TooManyPixelsError (read from the header, before
    any pixel is decoded) and BrokenImageError (announced as one of ours, but damaged).
    """
    if not data:
        raise BodyError("the body is empty", expected=f"an image: {', '.join(MEDIA_TYPES.values())}")
    kind = sniff(data)
    if kind is None:
        raise UnsupportedImageError(
            f"the body looks like {guess(data)}; expected {', '.join(MEDIA_TYPES.values())}",
            value=guess(data),
            expected=list(MEDIA_TYPES.values()),
        )
    too_many = f"expected at most {max_pixels} pixels"
    try:
        with Image.open(io.BytesIO(data), formats=[kind.upper()]) as image:
            if image.width * image.height > max_pixels:
                raise TooManyPixelsError(
                    f"the picture is {image.width} x {image.height}; {too_many}",
                    value=f"{image.width}x{image.height}",
                    expected=too_many,
                )
            return _decode_pixels(image, kind)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooManyPixelsError(f"{error}; {too_many}", expected=too_many) from error
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError) as error:
        # Pillow's decoders raise all of these for damaged files.
        raise BrokenImageError(
            f"the {kind.upper()} cannot be decoded: {error}", value=kind, expected="a whole, undamaged image"
        ) from error


def _decode_pixels(image: Image.Image, kind: Format) -> Decoded:
    image.load()
    upright = ImageOps.exif_transpose(image)
    icc = image.info.get("icc_profile") if image.mode in {"RGB", "RGBA", "P", "PA"} else None
    if upright.mode in _SIXTEEN_BIT_GREY:  # Pillow's own conversion clips at 255
        grey = np.asarray(upright).astype(np.float64) / 257.0
        upright = Image.fromarray(grey.round().clip(0, 255).astype(np.uint8))
    if upright.mode in _WITH_ALPHA or "transparency" in upright.info:
        rgba = np.asarray(upright.convert("RGBA"))
        return Decoded(np.ascontiguousarray(rgba[..., :3]), np.ascontiguousarray(rgba[..., 3]), icc, kind)
    return Decoded(np.asarray(upright.convert("RGB")), None, icc, kind)
