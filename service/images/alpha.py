"""Transparency: colours of invisible pixels before the network, and the enlarged alpha after it."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nets.picture import Picture
from service.images.resize import repeated, resized
from service.images.types import Plane

Floats = NDArray[np.float32]


def filled(pixels: Picture, alpha: Plane) -> Picture:
    """Replace the colours of invisible pixels (alpha 0) by those of their neighbours, weighted by alpha: (H, W, 3).

    Invisible pixels have arbitrary colours, usually black. A network would draw dark fringes around them.
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


def enlarged(alpha: Plane, height: int, width: int) -> Plane:
    """Enlarge alpha, (H, W), to `height` x `width`: bicubic, limited to the range of the nine nearest original values.

    Opaque areas stay opaque, invisible areas stay invisible, and nothing overshoots. A network is no better at this: it
    has learned photographs, and rings at a hard cut-out (docs/decisions/0011-images-in-and-out.md).
    """
    low, high = alpha, alpha
    for axis in (0, 1):
        low, high = _over_three(np.minimum, low, axis), _over_three(np.maximum, high, axis)
    return np.clip(resized(alpha, height, width), repeated(low, height, width), repeated(high, height, width))


def _halved(pixels: Picture, alpha: Plane) -> Floats:
    """Sum colour times alpha, and alpha, over blocks of 2 x 2: -> (H / 2, W / 2, 4), rounded up."""
    height, width = alpha.shape
    sums = np.zeros(((height + 1) // 2, (width + 1) // 2, 4), np.float32)
    for dy, dx in ((0, 0), (0, 1), (1, 0), (1, 1)):
        weight = alpha[dy::2, dx::2, None].astype(np.float32)
        part = sums[: weight.shape[0], : weight.shape[1]]
        part[..., :3] += pixels[dy::2, dx::2] * weight
        part[..., 3:] += weight
    return sums


def _spread(sums: Floats) -> Floats:
    """Return colours without holes, (H, W, 3). Holes get the colours of the halved picture, recursively."""
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
    """Interpolate a plane, (h, w), to `height` x `width`, about twice its size."""
    twice = Image.fromarray(plane).resize((2 * plane.shape[1], 2 * plane.shape[0]), Image.Resampling.BILINEAR)
    return np.asarray(twice)[:height, :width]


def _over_three(pick: np.ufunc, plane: Plane, axis: int) -> Plane:
    padded = np.pad(plane, [(1, 1) if each == axis else (0, 0) for each in (0, 1)], mode="edge")
    before, here, after = (np.take(padded, range(start, start + plane.shape[axis]), axis) for start in (0, 1, 2))
    answer: Plane = pick(pick(before, here), after)
    return answer
