"""Transparency: what the network sees where nothing is to be seen, and what its own answer may be."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nets.picture import Picture
from service.images.resize import repeated
from service.images.types import Plane

Floats = NDArray[np.float32]


def filled(pixels: Picture, alpha: Plane) -> Picture:
    """A picture whose hidden pixels (alpha 0) have their neighbours' colour, weighted by alpha: (H, W, 3) -> the same.

    What is stored under full transparency is arbitrary, black as a rule. A network that saw it would draw dark fringes.
    """
    hidden = alpha == 0
    if not hidden.any():
        return pixels
    if hidden.all():
        return np.full_like(pixels, np.iinfo(pixels.dtype).max // 2 + 1)
    behind = _spread(_halved(pixels, alpha))
    answer = pixels.copy()
    for channel in range(3):
        plane = _enlarged(behind[..., channel], *alpha.shape)
        answer[..., channel][hidden] = np.rint(plane[hidden]).astype(pixels.dtype)
    return answer


def bounded(answer: Plane, alpha: Plane) -> Plane:
    """The network's enlarged alpha, (H, W), held within what the nine nearest of the original were.

    So what was opaque stays opaque, what was invisible invisible, and there is no ringing between the two.
    """
    low, high = alpha, alpha
    for axis in (0, 1):
        low, high = _over_three(np.minimum, low, axis), _over_three(np.maximum, high, axis)
    return np.clip(answer, repeated(low, *answer.shape), repeated(high, *answer.shape))


def _halved(pixels: Picture, alpha: Plane) -> Floats:
    """The sums over blocks of 2 x 2 of colour times alpha, and of alpha: -> (H / 2, W / 2, 4), rounded up."""
    height, width = alpha.shape
    sums = np.zeros(((height + 1) // 2, (width + 1) // 2, 4), np.float32)
    for dy, dx in ((0, 0), (0, 1), (1, 0), (1, 1)):
        weight = alpha[dy::2, dx::2, None].astype(np.float32)
        part = sums[: weight.shape[0], : weight.shape[1]]
        part[..., :3] += pixels[dy::2, dx::2] * weight
        part[..., 3:] += weight
    return sums


def _spread(sums: Floats) -> Floats:
    """Colours without holes, (H, W, 3): where there is nothing, what the halved picture has, and so on."""
    weight = sums[..., 3]
    seen = weight > 0
    if seen.all():
        colours: Floats = sums[..., :3] / weight[..., None]
        return colours
    behind = _spread(_halved_sums(sums))
    colours = np.stack([_enlarged(behind[..., channel], *weight.shape) for channel in range(3)], axis=-1)
    colours[seen] = sums[seen][:, :3] / weight[seen][:, None]
    return colours


def _halved_sums(sums: Floats) -> Floats:
    padded = np.pad(sums, [(0, sums.shape[0] % 2), (0, sums.shape[1] % 2), (0, 0)])
    halved: Floats = padded[::2, ::2] + padded[1::2, ::2] + padded[::2, 1::2] + padded[1::2, 1::2]
    return halved


def _enlarged(plane: Floats, height: int, width: int) -> Floats:
    """Twice the size, smoothly: (h, w) -> `height` x `width`."""
    twice = Image.fromarray(plane).resize((2 * plane.shape[1], 2 * plane.shape[0]), Image.Resampling.BILINEAR)
    return np.asarray(twice)[:height, :width]


def _over_three(pick: np.ufunc, plane: Plane, axis: int) -> Plane:
    padded = np.pad(plane, [(1, 1) if each == axis else (0, 0) for each in (0, 1)], mode="edge")
    before, here, after = (np.take(padded, range(start, start + plane.shape[axis]), axis) for start in (0, 1, 2))
    answer: Plane = pick(pick(before, here), after)
    return answer
