"""Sixteen bits a sample, which Pillow cuts to eight in colour: read, converted and written by libvips."""

import struct
import zlib

import numpy as np
import pyvips
from numpy.typing import NDArray
from PIL import Image

Deep = NDArray[np.uint16]

_PNG_HEAD_BYTES = 33
"""Signature and IHDR: what comes before all other chunks."""


class DeepError(OSError):
    """libvips cannot read it, or convert it."""


def read(data: bytes) -> Deep:
    """The pixels of a whole PNG or TIFF (its first page), as stored: uint16 (H, W, channels), 1 to 4 of them.

    A picture of eight bits is widened. Raises DeepError for damage, and for channels that are not grey or RGB.
    """
    try:
        image = _image(pyvips.Image.new_from_buffer(data, "", fail_on="error"))
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
        image = _image(pyvips.Image.new_from_array(pixels)).copy(interpretation=mode)
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


def write_png(pixels: Deep, icc: bytes | None, chunks: list[tuple[bytes, bytes]]) -> bytes:
    """Encode uint16 (H, W, 1 to 4), grey or RGB with or without alpha, with the (name, content) of more chunks."""
    if icc:
        chunks = [(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc)), *chunks]
    mode = "rgb16" if pixels.shape[2] >= 3 else "grey16"
    image = _image(pyvips.Image.new_from_array(pixels)).copy(interpretation=mode)
    # With a filter, for 16-bit samples do not repeat: without one they hardly compress.
    png: bytes = image.pngsave_buffer(compression=1, filter="sub", keep="none")
    packed = [struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c)) for n, c in chunks]
    return b"".join([png[:_PNG_HEAD_BYTES], *packed, png[_PNG_HEAD_BYTES:]])


def png_bits(data: bytes) -> int:
    """Bits of a PNG's samples, by its header."""
    return data[24] if len(data) > 24 else 8


def tiff_bits(image: Image.Image) -> int:
    """Bits of a TIFF's samples: the most of any channel."""
    return max(getattr(image, "tag_v2", {}).get(258) or (1,))


def to_eight(pixels: NDArray[np.unsignedinteger]) -> NDArray[np.uint8]:
    """uint16 of any shape, rounded to nearest: 65535 becomes 255. uint8 stays what it is."""
    if pixels.dtype == np.uint8:
        return pixels.astype(np.uint8, copy=False)
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _image(image: object) -> pyvips.Image:
    # Codec threads are what runs in parallel; nothing is worth remembering between requests.
    pyvips.concurrency_set(1)
    pyvips.cache_set_max(0)
    assert isinstance(image, pyvips.Image)
    return image


def _pixels(image: pyvips.Image) -> Deep:
    array: Deep = image.numpy()
    return array if array.ndim == 3 else array[..., None]


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1]
