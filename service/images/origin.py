"""Whether a picture has traces of compression with loss, as photographs do, or is clean, as drawings and captures are.

A JPEG says in its quantisation tables what it lost. What was lost before shows in the blocks: JPEG works on 8 x 8
pixels, and in blocks of its own grid most high frequencies are zero. In blocks of any other grid they are not.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from service.images.formats import Source
from service.images.types import Origin

LEAST_STEP = 4.6
"""Mean quantisation step from which a JPEG counts as one with loss: quality 95 of libjpeg and below."""

MOST_ON_GRID, MOST_IN_FINE_JPEG = 0.85, 0.65
"""Share of high frequencies in blocks of one grid, over those in others, below which the picture has that grid.

A JPEG with fine steps has some of a grid of its own.
"""

_LOSSY: frozenset[Source] = frozenset({"avif", "heic"})
"""Formats that cameras and web sites write with loss."""

_BLOCK = 8
_WINDOW_PX = 320
_LEAST_PX = 3 * _BLOCK
_PRESENT_FROM = 1.0
"""Size of a coefficient, in levels, that rounding to 8 bits does not reach."""

_LEAST_SHARE = 0.005
_DRAWN_SHARE = 0.0005


def origin_of(
    kind: Source, lossless: bool, tables: Mapping[int, Sequence[int]], pixels: NDArray[np.unsignedinteger]
) -> Origin:
    """Decide by format, quantisation tables and blocks, the cheapest first.

    lossless: for WebP. tables: of a JPEG. pixels: uint8 or uint16 (H, W, C), as they were stored.
    """
    if kind in _LOSSY or (kind == "webp" and not lossless):
        return "photo"
    if any(float(np.mean(table)) >= LEAST_STEP for table in tables.values()):
        return "photo"
    most = MOST_IN_FINE_JPEG if kind == "jpeg" else MOST_ON_GRID
    return "photo" if on_grid(pixels) < most else "clean"


def on_grid(pixels: NDArray[np.unsignedinteger]) -> float:
    """Return how many high frequencies the emptiest of all 64 grids has, over the others: 1 without blocks.

    The grid may begin anywhere, because a picture may have been cropped. The others are the median grid and those that
    are half a block away: squares of 2 or 4 pixels have the same on all of these. Only the middle is measured. 1 if it
    is too small or too flat to tell, and for squares of 8 pixels, whose blocks have no frequencies at all.
    """
    luma = _middle(pixels)
    height, width = ((side - _BLOCK + 1) // _BLOCK * _BLOCK for side in luma.shape)
    if min(luma.shape) < _LEAST_PX:
        return 1.0
    shares = np.empty((_BLOCK, _BLOCK))
    for top in range(_BLOCK):
        for left in range(_BLOCK):
            window = luma[top : top + height, left : left + width]
            blocks = window.reshape(height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK).swapaxes(1, 2)
            high = (_COSINES @ blocks @ _COSINES.T)[..., _HIGH]
            shares[top, left] = (np.abs(high) >= _PRESENT_FROM).mean()
    emptiest, usual = float(shares.min()), float(np.median(shares))
    if usual < _LEAST_SHARE or emptiest < _DRAWN_SHARE:
        return 1.0
    top, left = divmod(int(np.argmin(shares)), _BLOCK)
    half = [shares[(top + down) % _BLOCK, (left + right) % _BLOCK] for down, right in ((0, 4), (4, 0), (4, 4))]
    return emptiest / min(usual, *map(float, half))


def _middle(pixels: NDArray[np.unsignedinteger]) -> NDArray[np.float32]:
    """Return the luminance of the middle, in levels of 255: -> (H, W). One channel is luminance itself."""
    top, left = (max(0, (side - _WINDOW_PX) // 2) for side in pixels.shape[:2])
    middle = pixels[top : top + _WINDOW_PX, left : left + _WINDOW_PX].astype(np.float32)
    if pixels.dtype.itemsize > 1:
        middle /= 257
    luma: NDArray[np.float32] = middle[..., :3] @ _LUMA if pixels.shape[2] >= 3 else middle[..., 0]
    return luma


def _cosine_transform() -> NDArray[np.float32]:
    """Return the matrix of the discrete cosine transform of eight samples, orthonormal, as JPEG has it."""
    frequency, sample = np.arange(_BLOCK)[:, None], np.arange(_BLOCK)[None]
    matrix = np.cos(np.pi * (2 * sample + 1) * frequency / (2 * _BLOCK)) * np.sqrt(2 / _BLOCK)
    matrix[0] /= np.sqrt(2)
    transform: NDArray[np.float32] = matrix.astype(np.float32)
    return transform


_COSINES = _cosine_transform()
_HIGH = np.add.outer(np.arange(_BLOCK), np.arange(_BLOCK)) >= _BLOCK // 2
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
