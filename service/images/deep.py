"""Sixteen bits a sample, which Pillow cuts to eight in colour: read and converted by libvips."""

import numpy as np
import pyvips
from numpy.typing import NDArray
from PIL import Image

from service.images.png import vips

Deep = NDArray[np.uint16]


class DeepError(OSError):
    """libvips cannot read it, or convert it."""


def read(data: bytes) -> Deep:
    """The pixels of a whole PNG or TIFF (its first page), as stored: uint16 (H, W, channels), 1 to 4 of them.

    A picture of eight bits is widened. Raises DeepError for damage, and for channels that are not grey or RGB.
    """
    try:
        # A tile that libtiff cannot decode is a mere warning to libvips, which makes it black.
        image = vips(pyvips.Image.new_from_buffer(data, "", fail_on="warning"))
        if image.format not in {"uchar", "ushort"} or image.interpretation not in {
            "grey16",
            "rgb16",
            "b-w",
            "srgb",
            "cmyk",
        }:
            raise DeepError(f"samples of {image.format} in {image.interpretation} are not read")
        if image.format == "uchar":
            image = (image * 257).cast("ushort")
        return _pixels(image)
    except pyvips.Error as error:
        raise DeepError(_first_line(error)) from error


def convert(pixels: Deep, source: bytes | None, target: bytes | None) -> Deep:
    """uint16 (H, W, 3), or (H, W, 1) where `source` is grey -> (H, W, 3), relative colorimetric; None is sRGB.

    Raises DeepError where a profile does not work in its direction.
    """
    try:
        mode = "rgb16" if pixels.shape[2] == 3 else "grey16"
        image = vips(pyvips.Image.new_from_array(pixels)).copy(interpretation=mode)
        if source is None:
            image = image.icc_import(input_profile="srgb", intent="relative")
        else:
            image.set_type(pyvips.GValue.blob_type, "icc-profile-data", source)
            image = image.icc_import(embedded=True, intent="relative")
        if target is None:
            return _pixels(image.icc_export(output_profile="srgb", depth=16, intent="relative"))
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", target)
        return _pixels(image.icc_export(depth=16, intent="relative"))
    except pyvips.Error as error:
        raise DeepError(_first_line(error)) from error


def tiff_bits(image: Image.Image) -> int:
    """Bits of a TIFF's samples: the most of any channel."""
    return max(getattr(image, "tag_v2", {}).get(258) or (1,))


def to_eight(pixels: NDArray[np.unsignedinteger]) -> NDArray[np.uint8]:
    """uint16 of any shape, rounded to nearest: 65535 becomes 255. uint8 stays what it is."""
    if pixels.dtype == np.uint8:
        return pixels.astype(np.uint8, copy=False)
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _pixels(image: pyvips.Image) -> Deep:
    array: Deep = image.numpy()
    return array if array.ndim == 3 else array[..., None]


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1]
