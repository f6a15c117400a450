"""An image in its own colours, upright: the common result of Pillow and libvips."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.errors import UnsupportedImageError
from service.images import deep
from service.images.profile import Space
from service.images.types import Plane

Channels = NDArray[np.unsignedinteger]
"""uint8 or uint16 (H, W, C)."""

GREY_MODES = frozenset({"1", "L", "LA", "La", "I;16"})
"""Pillow's modes with one colour channel."""

_WITH_ALPHA = frozenset({"RGBA", "LA", "PA", "RGBa", "La"})
_AS_RGB = frozenset({"P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "YCbCr"})
_QUARTERS = {3: 2, 4: 2, 5: 3, 6: 3, 7: 1, 8: 1}
"""Counterclockwise quarter turns for each EXIF orientation, before mirroring."""
_MIRRORED = frozenset({2, 4, 5, 7})


@dataclass(frozen=True)
class Raster:
    """An upright image.

    pixels: uint8 or uint16 (H, W, C): grey, RGB or CMYK. alpha: (H, W) of the same depth, or None.
    """

    pixels: Channels
    alpha: Plane | None
    space: Space

    def in_eight_bits(self) -> "Raster":
        """Round to 8 bits."""
        alpha = None if self.alpha is None else deep.to_eight(self.alpha)
        return Raster(deep.to_eight(self.pixels), alpha, self.space)


def has_alpha(image: Image.Image) -> bool:
    """Return whether an opened image may have transparent pixels."""
    return image.mode in _WITH_ALPHA or "transparency" in image.info


def from_image(image: Image.Image, orientation: int) -> Raster:
    """Convert a decoded 8-bit image. orientation: the EXIF value, 1 to 8.

    Raises UnsupportedImageError for samples that are not 8-bit grey, RGB or CMYK.
    """
    alpha = has_alpha(image)
    if image.mode == "CMYK":
        return Raster(_upright(np.asarray(image), orientation), None, "CMYK")
    if image.mode in GREY_MODES:
        values = np.asarray(image.convert("LA" if alpha else "L"))
        return _raster(values if alpha else values[..., None], alpha, "GRAY", orientation)
    if image.mode not in _AS_RGB:
        raise unsupported(f"a picture of mode {image.mode}")
    return _raster(np.asarray(image.convert("RGBA" if alpha else "RGB")), alpha, "RGB", orientation)


def from_array(values: Channels, orientation: int) -> Raster:
    """Make a raster of decoded samples without alpha: grey, RGB or CMYK by the number of channels."""
    spaces: dict[int, Space] = {1: "GRAY", 3: "RGB", 4: "CMYK"}
    return Raster(_upright(values, orientation), None, spaces[values.shape[2]])


def from_samples(values: Channels, orientation: int = 1) -> Raster:
    """Make a raster of grey or RGB samples, with alpha if the number of channels is even."""
    space: Space = "GRAY" if values.shape[2] < 3 else "RGB"
    return _raster(np.ascontiguousarray(values), values.shape[2] % 2 == 0, space, orientation)


def from_deep(data: bytes, mode: str, orientation: int) -> Raster:
    """Decode a file with 16-bit samples. mode: Pillow's name of the mode. Raises DeepError for damage."""
    values = deep.read(data)
    if mode == "CMYK":
        return Raster(_upright(deep.to_eight(values), orientation), None, "CMYK")
    colours = 3 if values.shape[2] >= 3 else 1
    alpha = values.shape[2] > colours and mode != "RGBX"
    if alpha and mode in {"RGBa", "La"}:  # stored premultiplied
        weight = np.maximum(values[..., colours:].astype(np.float32), 1) / 65535
        whole = np.rint(values[..., :colours] / weight).clip(0, 65535).astype(np.uint16)
        values = np.dstack([whole, values[..., colours:]])
    return _raster(values[..., : colours + alpha], alpha, "RGB" if colours == 3 else "GRAY", orientation)


def unsupported(what: str) -> UnsupportedImageError:
    """Make the error for an image with unsupported samples."""
    expected = "grey, RGB or CMYK of 8 or 16 bits"
    return UnsupportedImageError(f"{what} is not supported; expected {expected}", value=what, expected=expected)


def _raster(values: Channels, alpha: bool, space: Space, orientation: int) -> Raster:
    values = _upright(values, orientation)
    if not alpha:
        return Raster(values, None, space)
    return Raster(np.ascontiguousarray(values[..., :-1]), np.ascontiguousarray(values[..., -1]), space)


def _upright(values: Channels, orientation: int) -> Channels:
    turned = np.rot90(values, _QUARTERS.get(orientation, 0))
    return np.ascontiguousarray(turned[:, ::-1] if orientation in _MIRRORED else turned)
