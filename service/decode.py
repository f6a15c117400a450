"""Bytes of a stranger -> pixels, with every doubt settled before memory is spent. Runs on a codec thread."""

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.errors import BodyError, BrokenImageError, TooManyPixelsError, UnsupportedImageError
from service.formats import MEDIA_TYPES, Format, guess, sniff

_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    struct.error,
)
"""What Pillow's decoders raise for damaged files, all seen by fuzzing."""

_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What puts a picture upright, by its EXIF orientation."""

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


def measure(data: bytes, max_pixels: int, why: str = "") -> tuple[int, int]:
    """(height, width) by the header, before any pixel is decoded. Raises what `decode` raises for it."""
    with _opened(data, max_pixels, why) as (image, _):
        return image.height, image.width


def decode(data: bytes, max_pixels: int, why: str = "") -> Decoded:
    """Decode a JPEG, PNG or WebP of at most `max_pixels`; `why` there is that limit goes into the refusal.

    Raises BodyError (empty), UnsupportedImageError (another format), TooManyPixelsError (read from the header, before
    any pixel is decoded) and BrokenImageError (announced as one of ours, but damaged).
    """
    with _opened(data, max_pixels, why) as (image, kind):
        return _decode_pixels(image, kind)


@contextmanager
def _opened(data: bytes, max_pixels: int, why: str) -> Iterator[tuple[Image.Image, Format]]:
    """The picture with its header read; damage that is found while it is used is refused too."""
    if not data:
        raise BodyError("the body is empty", expected=f"an image: {', '.join(MEDIA_TYPES.values())}")
    kind = sniff(data)
    if kind is None:
        raise UnsupportedImageError(
            f"the body looks like {guess(data)}; expected {', '.join(MEDIA_TYPES.values())}",
            value=guess(data),
            expected=list(MEDIA_TYPES.values()),
        )
    too_many = f"expected at most {max_pixels} pixels{why}"
    try:
        with Image.open(io.BytesIO(data), formats=[kind.upper()]) as image:
            if image.width * image.height > max_pixels:
                raise TooManyPixelsError(
                    f"the picture is {image.width} x {image.height}; {too_many}",
                    value=f"{image.width}x{image.height}",
                    expected=too_many,
                )
            yield image, kind
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooManyPixelsError(f"{error}; {too_many}", expected=too_many) from error
    except _DAMAGE as error:
        raise BrokenImageError(
            f"the {kind.upper()} cannot be decoded: {error}", value=kind, expected="a whole, undamaged image"
        ) from error


def _decode_pixels(image: Image.Image, kind: Format) -> Decoded:
    image.load()
    upright = _upright(image)
    icc = image.info.get("icc_profile") if image.mode in {"RGB", "RGBA", "P", "PA"} else None
    if upright.mode in _SIXTEEN_BIT_GREY:  # Pillow's own conversion clips at 255
        grey = np.asarray(upright).astype(np.float64) / 257.0
        upright = Image.fromarray(grey.round().clip(0, 255).astype(np.uint8))
    if upright.mode in _WITH_ALPHA or "transparency" in upright.info:
        rgba = np.asarray(upright.convert("RGBA"))
        return Decoded(np.ascontiguousarray(rgba[..., :3]), np.ascontiguousarray(rgba[..., 3]), icc, kind)
    return Decoded(np.asarray(upright.convert("RGB")), None, icc, kind)


def _upright(image: Image.Image) -> Image.Image:
    """Turned by its EXIF orientation. Pillow's own `exif_transpose` rewrites all of the EXIF, and fails on odd ones."""
    try:
        method = _UPRIGHT.get(image.getexif().get(_ORIENTATION_TAG, 1))
    except (*_DAMAGE, UserWarning):  # metadata that cannot be read is no reason to refuse the pixels
        method = None
    return image if method is None else image.transpose(method)
