"""What is done to whole pictures around the networks: resize, lay over each other, keep colours. Knows no torch.

A band of rows at a time, so that no picture is ever held in floating point.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

from nets.picture import Picture
from service.images.resize import resized

_BAND_PIXELS = 2**18
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # BT.601, as JPEG has it


def resize(picture: Picture, height: int, width: int) -> Picture:
    """(H, W, 3) -> (height, width, 3): exactly that size, antialiased; the same array where it has it."""
    shrinks = height <= picture.shape[0] and width <= picture.shape[1]
    # Lanczos rings where it enlarges.
    return resized(picture, height, width, Image.Resampling.LANCZOS if shrinks else Image.Resampling.BICUBIC)


def overlay(pictures: Sequence[Picture], shares: Sequence[float]) -> Picture:
    """The sum of `shares[i]` times each picture, (H, W, 3) of one size and depth; shares sum to 1."""
    if len(pictures) == 1:
        return pictures[0]
    result = np.empty_like(pictures[0])
    for rows in _bands(result):
        total = sum(np.float32(share) * picture[rows] for picture, share in zip(pictures, shares, strict=True))
        result[rows] = _rounded(np.asarray(total), result)
    return result


def keep_colors(painted: Picture, photograph: Picture) -> Picture:
    """The luminance of the one with the colours of the other; both (H, W, 3) of one size and depth.

    Where a colour at that luminance is outside of what RGB holds, it is made paler, not another hue.
    """
    result = np.empty_like(painted)
    for rows in _bands(result):
        colors = photograph[rows].astype(np.float32)
        own = colors @ _LUMA
        wanted = (painted[rows].astype(np.float32) @ _LUMA)[..., None]
        difference = colors - own[..., None]
        # As far as each channel can go from grey of that luminance, at most all the way.
        room = np.where(difference > 0, np.float32(np.iinfo(result.dtype).max) - wanted, wanted)
        reach = np.where(difference == 0, 1.0, room / np.maximum(np.abs(difference), 1e-6))
        result[rows] = _rounded(wanted + np.minimum(1.0, reach.min(axis=-1, keepdims=True)) * difference, result)
    return result


def _bands(picture: Picture) -> Iterator[slice]:
    height, width = picture.shape[:2]
    step = max(1, _BAND_PIXELS // width)
    return (slice(top, top + step) for top in range(0, height, step))


def _rounded(values: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]", like: Picture) -> Picture:
    return np.rint(values).clip(0, np.iinfo(like.dtype).max).astype(like.dtype)
