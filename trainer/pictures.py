"""Reading of pictures by the rules of the service (docs/training.md, section Pictures).

The result is upright 8-bit sRGB. Colours under full transparency come from their neighbours. Samples that are not
8-bit or 16-bit integers are refused.
"""

import io
import warnings
from pathlib import Path

import numpy as np
import pyvips
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

from trainer.errors import TrainerError

_MOST_PIXELS = 2 * (Image.MAX_IMAGE_PIXELS or 0)
_GREY = 128
_INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC

Floats = NDArray[np.float32]


def read_rgb(path: Path) -> Image.Image:
    """Read a picture as upright 8-bit sRGB. Raises TrainerError if it cannot be read."""
    try:
        data = path.read_bytes()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as image:
                return _as_rgb(data, image)
    except Image.DecompressionBombError as error:
        raise TrainerError(f"{path}: too large; expected at most {_MOST_PIXELS:,} pixels") from error
    except Exception as error:  # decoders raise any kind for damaged files, also AttributeError and MemoryError
        why = str(error).partition(" <_io.")[0]  # Pillow adds the repr of the file object
        raise TrainerError(f"{path}: not a picture that can be read: {why}") from error


def _as_rgb(data: bytes, image: Image.Image) -> Image.Image:
    bits = _bits(data, image)
    orientation = image.getexif().get(
        0x0112, 1
    )  # read before loading: Pillow removes it from a TIFF that it has turned
    icc = image.info.get("icc_profile")
    if image.mode in {"I", "F"} and not (image.format == "PNG" and bits == 16):
        raise ValueError(f"samples of mode {image.mode} are not read; expected 8 or 16 bits")
    if bits == 16:
        shown = _turned(_sixteen_bits(data), orientation)
    else:
        image.load()
        shown = ImageOps.exif_transpose(image)
        if "transparency" in shown.info:
            shown = shown.convert("LA" if shown.mode in {"1", "L"} else "RGBA")
    alpha = shown.getchannel("A") if shown.mode in {"LA", "PA", "RGBA"} else None
    colours = _in_srgb(shown, icc)
    return colours if alpha is None else _without_hidden_colours(colours, alpha)


def _bits(data: bytes, image: Image.Image) -> int:
    """Return the bits of a sample; 8 if the format has no other depths."""
    if image.format == "PNG":
        return data[24]
    if image.format == "TIFF":
        bits = max(image.tag_v2.get(258) or (1,))  # type: ignore[attr-defined]  # a TIFF has it
        kinds = set(image.tag_v2.get(339) or (1,))  # type: ignore[attr-defined]
        if bits not in {1, 2, 4, 8, 16} or not kinds <= {1, 4}:
            raise ValueError(
                f"samples of {bits} bits, kind {sorted(kinds)}, are not read; expected integers of 8 or 16"
            )
        return int(bits)
    return 8


def _sixteen_bits(data: bytes) -> Image.Image:
    """Decode a 16-bit PNG or TIFF and round it to 8 bits. Pillow truncates colours, and makes greys white."""
    image = pyvips.Image.new_from_buffer(data, "", fail_on="warning")
    values = np.asarray(image.numpy()).astype(np.uint32)
    values = values if image.format == "uchar" else (values + 128) // 257
    return Image.fromarray(values.astype(np.uint8).squeeze())


def _turned(image: Image.Image, orientation: int) -> Image.Image:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.info["exif"] = exif.tobytes()
    return ImageOps.exif_transpose(image)


def _in_srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    """Convert to RGB in sRGB. A profile that is damaged or for another colour space is ignored."""
    mode = "CMYK" if image.mode == "CMYK" else "L" if image.mode in {"1", "L", "LA"} else "RGB"
    own = image.convert(mode)
    if icc:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
            srgb: ImageCms.ImageCmsProfile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
            flags = ImageCms.Flags.NOOPTIMIZE if mode == "L" else ImageCms.Flags.BLACKPOINTCOMPENSATION
            done = ImageCms.profileToProfile(own, source, srgb, _INTENT, outputMode="RGB", flags=flags)
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            done = None
        if done is not None:
            return done
    return own.convert("RGB")


def _without_hidden_colours(image: Image.Image, alpha: Image.Image) -> Image.Image:
    """Replace the colours under full transparency by those of their neighbours, weighted by alpha."""
    weight = np.asarray(alpha, np.float32)
    hidden = weight == 0
    if not hidden.any():
        return image
    if hidden.all():
        return Image.new("RGB", image.size, (_GREY, _GREY, _GREY))
    colours = np.asarray(image, np.float32)
    spread = _spread(np.dstack([colours * weight[..., None], weight]))
    filled = np.where(hidden[..., None], np.rint(spread).clip(0, 255), colours)
    return Image.fromarray(filled.astype(np.uint8))


def _spread(sums: Floats) -> Floats:
    """Return colours without holes, (H, W, 3), from sums of colour times alpha and of alpha, by halving recursively."""
    weight = sums[..., 3:]
    seen = weight[..., 0] > 0
    colours = (sums[..., :3] / np.maximum(weight, 1e-6)).astype(np.float32)
    if seen.all():
        return colours
    padded: Floats = np.pad(sums, [(0, sums.shape[0] % 2), (0, sums.shape[1] % 2), (0, 0)])
    halved = _spread(padded[::2, ::2] + padded[1::2, ::2] + padded[::2, 1::2] + padded[1::2, 1::2])
    size = (2 * halved.shape[1], 2 * halved.shape[0])
    for channel in range(3):
        plane = np.asarray(Image.fromarray(halved[..., channel]).resize(size, Image.Resampling.BILINEAR))
        colours[..., channel][~seen] = plane[: sums.shape[0], : sums.shape[1]][~seen]
    return colours
