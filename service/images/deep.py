"""Samples of 16 bits, read and converted by libvips. Pillow reduces RGB samples of 16 bits to 8."""

import numpy as np
import pyvips
from numpy.typing import NDArray
from PIL import Image

from service.images.vips import pixels as pixels_of
from service.images.vips import reason, single_threaded

Deep = NDArray[np.uint16]


class DeepError(OSError):
    """libvips cannot read or convert an image."""


def read(data: bytes) -> Deep:
    """Decode a PNG or the first page of a TIFF: uint16 (H, W, 1 to 4), not turned by EXIF.

    Samples of 8 bits are widened. Raises DeepError for damage and for channels that are not grey, RGB or CMYK.
    """
    try:
        # fail_on: without it, libvips only warns of a tile that libtiff cannot decode, and makes it black
        image = single_threaded(pyvips.Image.new_from_buffer(data, "", fail_on="warning"))
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
        return pixels_of(image)
    except pyvips.Error as error:
        raise DeepError(reason(error)) from error


def convert(pixels: Deep, source: bytes | None, target: bytes | None) -> Deep:
    """Convert uint16 (H, W, 3), or (H, W, 1) if `source` is a grey profile, to (H, W, 3), relative colorimetric.

    source, target: ICC profiles; None is sRGB. Raises DeepError if a profile cannot be used in its direction.
    """
    try:
        mode = "rgb16" if pixels.shape[2] == 3 else "grey16"
        image = single_threaded(pyvips.Image.new_from_array(pixels)).copy(interpretation=mode)
        if source is None:
            image = image.icc_import(input_profile="srgb", intent="relative")
        else:
            image.set_type(pyvips.GValue.blob_type, "icc-profile-data", source)
            image = image.icc_import(embedded=True, intent="relative")
        if target is None:
            return pixels_of(image.icc_export(output_profile="srgb", depth=16, intent="relative"))
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", target)
        return pixels_of(image.icc_export(depth=16, intent="relative"))
    except pyvips.Error as error:
        raise DeepError(reason(error)) from error


def tiff_bits(image: Image.Image) -> int:
    """Return the bits of a sample of a TIFF; the largest number if the channels differ."""
    return max(getattr(image, "tag_v2", {}).get(258) or (1,))


def to_eight(pixels: NDArray[np.unsignedinteger]) -> NDArray[np.uint8]:
    """Round uint16 of any shape to the nearest uint8: 65535 becomes 255. uint8 is returned unchanged."""
    if pixels.dtype == np.uint8:
        return pixels.astype(np.uint8, copy=False)
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
