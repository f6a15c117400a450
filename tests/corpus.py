"""Valid image files of every kind that people bring, made in code: the same seed gives the same files."""

import io
import itertools
import struct
import zlib
from typing import NamedTuple

import numpy as np
import pyvips
import tifffile
from PIL import Image

from tests.conftest import encoded, picture
from tests.files import chunk, png16, tiff16
from tests.heic import HALF_TRANSPARENT, LYING, TEN_BITS

PNG_START = b"\x89PNG\r\n\x1a\n"
MOTION_XMP = (
    b"http://ns.adobe.com/xap/1.0/\0"
    b"<x xmlns:GCamera='http://ns.google.com/photos/1.0/camera/' GCamera:MotionPhoto='1'/>"
)
VIDEO = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + b"\xff\xda\xff\xd9\xff\xd8" * 200


class File(NamedTuple):
    """A file, and its pixels as uint8 RGBA (H, W, 4); None if the format has loss."""

    data: bytes
    pixels: np.ndarray | None = None


def corpus(seed: int = 0) -> dict[str, File]:
    """All kinds by name. The size of each file depends on the seed; odd sizes are frequent."""
    dice = np.random.default_rng(seed)
    kinds = (jpegs, pngs, webps, avifs, gifs, bmps, tiffs, heics)
    return {name: file for kind in kinds for name, file in kind(dice).items()}


def rgba(pixels: np.ndarray) -> np.ndarray:
    """uint8 or bool (H, W), (H, W, 2), (H, W, 3) or (H, W, 4) as RGBA."""
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8) * 255
    planes = pixels[..., None] if pixels.ndim == 2 else pixels
    alpha = planes[..., -1:] if planes.shape[2] in {2, 4} else np.full_like(planes[..., :1], 255)
    colour = planes[..., :3] if planes.shape[2] > 2 else np.repeat(planes[..., :1], 3, axis=2)
    return np.concatenate([colour, alpha], axis=2)


def photograph(dice: np.random.Generator, channels: int = 3) -> np.ndarray:
    """uint8 (H, W, channels), smooth with noise; 2 and 4 channels have alpha with all of its levels."""
    height, width = (int(side) for side in dice.integers(1, 90, 2))
    colour = picture(height, width, int(dice.integers(1000)))
    alpha = dice.integers(0, 256, (height, width, 1), np.uint8)
    return {
        1: colour[..., 0],
        2: np.concatenate([colour[..., :1], alpha], axis=2),
        3: colour,
        4: np.concatenate([colour, alpha], axis=2),
    }[channels]


def jpegs(dice: np.random.Generator) -> dict[str, File]:
    options: dict[str, dict[str, object]] = {
        "4:2:0": {"subsampling": 2},
        "4:2:2": {"subsampling": 1},
        "4:4:4": {"subsampling": 0},
        "progressive": {"progressive": True},
        "restarts": {"restart_marker_blocks": 2},
        "quality 100": {"quality": 100, "subsampling": 0},
    }
    files = {f"jpeg {name}": File(encoded(photograph(dice), "jpeg", **more)) for name, more in options.items()}
    files["jpeg grey"] = File(encoded(photograph(dice, 1), "jpeg"))
    whole = encoded(photograph(dice), "jpeg")
    files["jpeg without its end"] = File(whole[:-2])
    xmp = b"\xff\xe1" + struct.pack(">H", len(MOTION_XMP) + 2) + MOTION_XMP
    files["jpeg motion photo"] = File(whole[:2] + xmp + whole[2:] + VIDEO)
    segments = b"".join(b"\xff\xe9" + struct.pack(">H", 65_535) + b"\xff\xda" * 32_766 + b"\0" for _ in range(2))
    files["jpeg large segments"] = File(whole[:2] + segments + whole[2:])
    return files


def packed(values: np.ndarray, bits: int) -> bytes:
    """Rows of samples of 1, 2, 4 or 8 bits as PNG stores them, unfiltered."""
    unpacked = np.unpackbits(values[..., None], axis=2)[..., 8 - bits :]
    return b"".join(b"\0" + np.packbits(row.reshape(-1)).tobytes() for row in unpacked)


def png(values: np.ndarray, bits: int, colour: int, *chunks: bytes) -> bytes:
    """A PNG of uint8 samples (H, W) below 2**bits, or (H, W, C) of 8 bits."""
    height, width = values.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    rows = packed(values.reshape(height, -1), bits)
    parts = [chunk(b"IHDR", header), *chunks, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return PNG_START + b"".join(parts)


def pngs(dice: np.random.Generator) -> dict[str, File]:
    files = {}
    for bits in (1, 2, 4, 8):
        height, width = (int(side) for side in dice.integers(1, 60, 2))
        values = dice.integers(0, 2**bits, (height, width), np.uint8)
        grey = (values.astype(int) * 255 // (2**bits - 1)).astype(np.uint8)
        key = int(values[0, 0])
        alpha = np.where(values == key, 0, 255).astype(np.uint8)
        files[f"png grey {bits}"] = File(png(values, bits, 0), rgba(grey))
        transparent = chunk(b"tRNS", struct.pack(">H", key))
        files[f"png grey {bits} tRNS"] = File(png(values, bits, 0, transparent), rgba(np.dstack([grey, alpha])))
        palette = dice.integers(0, 256, (2**bits, 4), np.uint8)
        colours = chunk(b"PLTE", palette[:, :3].tobytes())
        files[f"png palette {bits}"] = File(png(values, bits, 3, colours), rgba(palette[values][..., :3]))
        clear = chunk(b"tRNS", palette[:, 3].tobytes())
        files[f"png palette {bits} tRNS"] = File(png(values, bits, 3, colours, clear), palette[values])
    for channels, colour in ((2, 4), (3, 2), (4, 6)):
        pixels = photograph(dice, channels)
        files[f"png {channels} channels"] = File(png(pixels, 8, colour), rgba(pixels))
        interlaced = pyvips.Image.new_from_array(pixels).pngsave_buffer(interlace=True)
        files[f"png {channels} channels interlaced"] = File(interlaced, rgba(pixels))
    pixels = photograph(dice)
    key = pixels[0, 0]
    alpha = np.where((pixels == key).all(axis=2), 0, 255).astype(np.uint8)
    transparent = chunk(b"tRNS", struct.pack(">3H", *map(int, key)))
    files["png colour tRNS"] = File(png(pixels, 8, 2, transparent), rgba(np.dstack([pixels, alpha])))
    whole = png(pixels, 8, 2)
    wrong = bytearray(chunk(b"tEXt", b"a\0b"))
    wrong[-1] ^= 1
    long = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(3_000_000)))
    files["png damaged text"] = File(png(pixels, 8, 2, bytes(wrong)), rgba(pixels))
    files["png long text"] = File(png(pixels, 8, 2, long), rgba(pixels))
    files["png without its end"] = File(whole[:-12], rgba(pixels))
    for channels in (1, 2, 3, 4):  # every sample is a multiple of 257, so that 8 bits have no rounding
        pixels = photograph(dice, channels)
        deep = pixels.reshape(*pixels.shape[:2], -1).astype(np.uint16) * 257
        files[f"png 16 bits {channels}"] = File(png16(deep), rgba(pixels))
    return files


def webps(dice: np.random.Generator) -> dict[str, File]:
    files = {f"webp {channels}": File(encoded(photograph(dice, channels), "webp")) for channels in (3, 4)}
    for channels in (3, 4):
        pixels = photograph(dice, channels)
        data = encoded(pixels, "webp", lossless=True, exact=True)
        files[f"webp lossless {channels}"] = File(data, rgba(pixels))
    return files


def avifs(dice: np.random.Generator) -> dict[str, File]:
    files = {f"avif {kind}": File(encoded(photograph(dice), "avif", subsampling=kind)) for kind in ("4:2:0", "4:4:4")}
    return files | {"avif alpha": File(encoded(photograph(dice, 4), "avif", quality=90))}


def gifs(dice: np.random.Generator) -> dict[str, File]:
    """Still ones; tests/browser/test_animations.py has the animations."""
    files = {}
    for name, more in (("", {}), (" interlaced", {"interlace": 1})):
        grey = photograph(dice, 1)
        files[f"gif grey{name}"] = File(encoded(grey, "gif", **more), rgba(grey))
    palette = dice.integers(0, 256, (256, 3), np.uint8)
    values = dice.integers(0, 256, (int(dice.integers(1, 60)), 37), np.uint8)
    image = Image.fromarray(values, "P")
    image.putpalette(palette.tobytes())
    for key in (None, int(values[0, 0])):
        buffer = io.BytesIO()
        image.save(buffer, "GIF", optimize=False, **({} if key is None else {"transparency": key}))
        alpha = np.where(values == (-1 if key is None else key), 0, 255).astype(np.uint8)
        name = "gif palette" if key is None else "gif transparent"
        files[name] = File(buffer.getvalue(), rgba(np.dstack([palette[values], alpha])))
    return files


def bmps(dice: np.random.Generator) -> dict[str, File]:
    files = {}
    for channels in (1, 3):
        pixels = photograph(dice, channels)
        files[f"bmp {channels}"] = File(encoded(pixels, "bmp"), rgba(pixels))
    bits = dice.integers(0, 2, (9, 21)).astype(bool)
    return files | {"bmp 1 bit": File(encoded(bits, "bmp"), rgba(bits))}


def tiff(pixels: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, metadata=None, **options)
    return buffer.getvalue()


def tiffs(dice: np.random.Generator) -> dict[str, File]:
    files = {}
    layouts: dict[str, dict[str, object]] = {"strips": {"rowsperstrip": 7}, "tiles": {"tile": (16, 16)}}
    packings: dict[str, dict[str, object]] = {
        "raw": {},
        "deflate": {"compression": "zlib"},
        "predictor": {"compression": "zlib", "predictor": True},
    }
    for (layout, packing), channels, deep in itertools.product(itertools.product(layouts, packings), (1, 3), (0, 1)):
        pixels = photograph(dice, channels)
        samples = pixels.astype(np.uint16) * 257 if deep else pixels
        more = {"photometric": "rgb" if channels == 3 else "minisblack", **layouts[layout], **packings[packing]}
        files[f"tiff {channels} of {16 if deep else 8}, {layout}, {packing}"] = File(
            tiff(samples, **more), rgba(pixels)
        )
    pixels, grey, clear = photograph(dice), photograph(dice, 1), photograph(dice, 4)
    files["tiff big-endian"] = File(tiff(pixels, photometric="rgb", byteorder=">"), rgba(pixels))
    files["tiff big"] = File(tiff(pixels, photometric="rgb", bigtiff=True), rgba(pixels))
    files["tiff planes"] = File(
        tiff(np.moveaxis(pixels, 2, 0), photometric="rgb", planarconfig="separate"), rgba(pixels)
    )
    files["tiff white is zero"] = File(tiff(255 - grey, photometric="miniswhite"), rgba(grey))
    files["tiff alpha"] = File(tiff(clear, photometric="rgb", extrasamples=["unassalpha"]), clear)
    files["tiff alpha of 16"] = File(tiff16(clear.astype(np.uint16) * 257, extra=2), clear)
    for compression in ("tiff_lzw", "packbits"):
        files[f"tiff {compression}"] = File(encoded(pixels, "tiff", compression=compression), rgba(pixels))
    bits = dice.integers(0, 2, (40, 61)).astype(bool)
    for compression in ("group3", "group4"):
        files[f"tiff {compression}"] = File(encoded(bits, "tiff", compression=compression), rgba(bits))
    return files


def heics(_: np.random.Generator) -> dict[str, File]:
    return {"heic lying": File(LYING), "heic transparent": File(HALF_TRANSPARENT), "heic 10 bits": File(TEN_BITS)}
