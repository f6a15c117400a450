"""Conversion of images to the bytes that are sent, and back. Pillow and NumPy are optional."""

import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeGuard

from impasto.errors import PictureError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    Pixels = Image | NDArray[Any]

Source = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO
"""A path, the bytes of an image file, or a file opened in binary mode."""

_AS_PNG = frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I;16B", "I;16L"})
_AS_TIFF = frozenset({"CMYK"})
_AS_RGB = frozenset({"YCbCr", "LAB", "HSV", "RGBX"})
_AS_RGBA = frozenset({"RGBa", "PA"})
_AS_GREY_AND_ALPHA = frozenset({"La"})  # Pillow converts it to LA only


def is_image(picture: object) -> "TypeGuard[Image]":
    """Return whether `picture` is a Pillow image. Does not import Pillow."""
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(picture, pillow.Image)


def is_array(picture: object) -> "TypeGuard[NDArray[Any]]":
    """Return whether `picture` is a NumPy array. Does not import NumPy."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(picture, numpy.ndarray)


def has_pixels(picture: object) -> "TypeGuard[Pixels]":
    """Return whether `picture` is a Pillow image or a NumPy array. Its output is of the same kind."""
    return is_image(picture) or is_array(picture)


def content_of(picture: "Source | Pixels") -> bytes:
    """Return the bytes to send. Raises PictureError, TypeError, or OSError if a file cannot be read."""
    if is_image(picture):
        return _encoded(picture)
    if is_array(picture):
        return _encoded(_image_of_array(picture))
    if isinstance(picture, bytes | bytearray | memoryview):
        data = bytes(picture)
    elif isinstance(picture, str | os.PathLike):
        data = Path(picture).read_bytes()
    elif hasattr(picture, "read"):
        data = _read(picture)
    else:
        kinds = "a path, bytes, a file opened in binary mode, a Pillow image, or a NumPy array"
        raise TypeError(f"the image is of type {type(picture).__name__}; expected {kinds}")
    if not data:
        raise PictureError(f"{name_of(picture)} is empty; expected an image")
    return data


def image_of(data: bytes) -> "Image":
    """Return a Pillow image with its pixels loaded."""
    from PIL import Image  # noqa: PLC0415  # only callers that use Pillow images need Pillow

    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def same_kind(given: "Pixels", data: bytes) -> "Pixels":
    """Return the image in `data` as a NumPy array if `given` is one, else as a Pillow image."""
    image = image_of(data)
    if is_image(given):
        return image
    import numpy as np  # noqa: PLC0415  # only callers that use arrays need NumPy

    return np.asarray(image)


def name_of(picture: object) -> str:
    """Return the name of an image for messages."""
    if isinstance(picture, str | os.PathLike):
        return os.fspath(picture)
    return str(getattr(picture, "filename", None) or getattr(picture, "name", None) or "the image")


def _read(file: Any) -> bytes:
    """Read a file. Raises TypeError if it is open in text mode."""
    try:
        data: object = file.read()
    except UnicodeDecodeError:  # text mode, and an image is no text
        data = ""
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data)
    raise TypeError(f"the file returns {type(data).__name__}; expected a file opened in binary mode: open(path, 'rb')")


def _image_of_array(array: "NDArray[Any]") -> "Image":
    """Return a Pillow image of an array. Raises PictureError for another shape or type."""
    shape, kind = array.shape, array.dtype.name
    colour = kind == "uint8" and len(shape) == 3 and shape[2] in {3, 4}
    if not colour and not (kind in {"uint8", "uint16"} and len(shape) == 2):
        expected = "uint8 (H, W), (H, W, 3) or (H, W, 4), or uint16 (H, W)"
        raise PictureError(f"the array is {kind} {shape}; expected {expected}")
    if not array.size:
        raise PictureError(f"the array has no pixels: {shape}")
    from PIL import Image  # noqa: PLC0415

    return Image.fromarray(array)


def _encoded(image: "Image") -> bytes:
    """Encode without loss, upright, with the colour profile; of an animation, the current frame."""
    from PIL import ImageOps  # noqa: PLC0415

    image = ImageOps.exif_transpose(image)
    for mode, modes in (("RGB", _AS_RGB), ("RGBA", _AS_RGBA), ("LA", _AS_GREY_AND_ALPHA)):
        if image.mode in modes:
            image = image.convert(mode)
    if image.mode not in _AS_PNG and image.mode not in _AS_TIFF:
        raise PictureError(f"the image has mode {image.mode}; expected 8 or 16 bits: image.convert('RGB')")
    options = {key: image.info[key] for key in ("icc_profile", "exif") if image.info.get(key)}
    buffer = io.BytesIO()
    try:
        if image.mode in _AS_TIFF:
            image.save(buffer, "TIFF", **options)
        else:
            image.save(buffer, "PNG", compress_level=1, **options)
    except (ValueError, SystemError) as error:  # no pixels; Pillow's encoder says "tile cannot extend outside image"
        raise PictureError(f"the image of {image.width} x {image.height} cannot be sent: {error}") from error
    return buffer.getvalue()
