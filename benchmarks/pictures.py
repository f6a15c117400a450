"""The photographs that the benchmarks send: the CC0 ones of the documentation, in many sizes."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
PHOTOGRAPHS = sorted((ROOT / "docs" / "images" / "photographs").glob("*.jpg"))


_SHAPES = [(4, 3), (3, 4), (3, 2)]


def photograph(width: int, height: int, which: int = 0) -> Image.Image:
    """One of them, in this size."""
    image = Image.open(PHOTOGRAPHS[which % len(PHOTOGRAPHS)]).convert("RGB")
    return image.resize((width, height), Image.Resampling.BICUBIC)


def jpeg(image: Image.Image) -> bytes:
    """As a camera's file, more or less: quality 90."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def mixed(count: int, least_megapixels: float, most_megapixels: float, seed: int = 0) -> list[Image.Image]:
    """`count` photographs of three shapes, their sizes spread evenly over the logarithm of the pixels."""
    megapixels = np.geomspace(least_megapixels, most_megapixels, count)
    np.random.default_rng(seed).shuffle(megapixels)
    images = []
    for i, size in enumerate(megapixels):
        across, down = _SHAPES[i % len(_SHAPES)]
        unit = (size * 1e6 / (across * down)) ** 0.5
        images.append(photograph(round(across * unit), round(down * unit), i))
    return images


def mixed_sides(count: int, least_px: int, most_px: int, seed: int = 0) -> list[Image.Image]:
    """As `mixed`, by the longer side: from `least_px` to `most_px`, spread evenly over its logarithm."""
    sides = np.geomspace(least_px, most_px, count)
    np.random.default_rng(seed).shuffle(sides)
    images = []
    for i, side in enumerate(sides):
        shape = _SHAPES[i % len(_SHAPES)]
        images.append(photograph(*(round(side * part / max(shape)) for part in shape), i))
    return images
