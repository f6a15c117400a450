"""Operations on whole pictures around the networks: resize, blend, keep colours. Knows no torch.

They work on a band of rows at a time, so that no whole picture is held in floating point.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

from nets.picture import Picture
from service.images.resize import resized

_BAND_PIXELS = 2**18
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # BT.601, as JPEG has it


def resize(picture: Picture, height: int, width: int) -> Picture:
    """Resize (H, W, 3) to exactly (height, width, 3), antialiased. Returns the same array if it has that size."""
    shrinks = height <= picture.shape[0] and width <= picture.shape[1]
    # Lanczos leaves ringing when it enlarges.
    return resized(picture, height, width, Image.Resampling.LANCZOS if shrinks else Image.Resampling.BICUBIC)


def blend(pictures: Sequence[Picture], shares: Sequence[float]) -> Picture:
    """Sum the pictures, (H, W, 3) of one size and depth, weighted by `shares`, which sum to 1."""
    if len(pictures) == 1:
        return pictures[0]
    result = np.empty_like(pictures[0])
    for rows in _bands(result):
        total = sum(np.float32(share) * picture[rows] for picture, share in zip(pictures, shares, strict=True))
        result[rows] = _rounded(np.asarray(total), result)
    return result


def keep_colors(painted: Picture, photograph: Picture) -> Picture:
    """Combine the luminance of `painted` with the colours of `photograph`, both (H, W, 3) of one size and depth.

    A colour that RGB cannot hold at that luminance is made paler; its hue stays.
    """
    result = np.empty_like(painted)
    for rows in _bands(result):
        colors = photograph[rows].astype(np.float32)
        own = colors @ _LUMA
        wanted = (painted[rows].astype(np.float32) @ _LUMA)[..., None]
        difference = colors - own[..., None]
        # How far each channel can move from grey of that luminance towards the colour, at most all the way.
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
