"""Transparency: what the network sees where nothing is to be seen, and what its own answer may be."""

import numpy as np
from PIL import Image

from nets.pixels import Picture
from service import deep
from service.decoded import Plane
from service.resizing import repeated

_FAINTEST = 32
"""The weight of a nearly transparent pixel's colour, of 255: rounded to few levels, it says little."""


def filled(pixels: Picture, alpha: Plane) -> Picture:
    """A picture whose hidden pixels (alpha 0) have their neighbours' colour, weighted by alpha: (H, W, 3) -> the same.

    What is stored under full transparency is arbitrary, black as a rule. A network that saw it would draw dark fringes.
    """
    hidden = alpha == 0
    if not hidden.any() or hidden.all():
        return pixels
    if pixels.dtype == np.uint16:
        eight = deep.to_eight(pixels.astype(np.uint16, copy=False))
        spread, unit = _spread(_rgba(eight, hidden, deep.to_eight(alpha))), 257
    else:
        spread, unit = _spread(_rgba(pixels, hidden, alpha)), 1
    answer = pixels.copy()
    answer[hidden] = np.asarray(spread)[hidden].astype(pixels.dtype) * unit
    return answer


def bounded(answer: Plane, alpha: Plane) -> Plane:
    """The network's enlarged alpha, (H, W), held within what the nine nearest of the original were.

    So what was opaque stays opaque, what was invisible invisible, and there is no ringing between the two.
    """
    low, high = alpha, alpha
    for axis in (0, 1):
        low, high = _over_three(np.minimum, low, axis), _over_three(np.maximum, high, axis)
    return np.clip(answer, repeated(low, *answer.shape), repeated(high, *answer.shape))


def _rgba(pixels: Picture, hidden: Plane, alpha: Plane) -> Image.Image:
    weights = np.where(hidden, 0, np.maximum(alpha, _FAINTEST)).astype(np.uint8)
    return Image.fromarray(np.dstack([pixels, weights]).astype(np.uint8, copy=False))


def _spread(image: Image.Image) -> Image.Image:
    """RGBA -> RGB without holes: halved (Pillow weights by alpha) until there is none, then put in from behind."""
    alpha = image.getchannel("A")
    if image.size == (1, 1) or alpha.getextrema()[0]:
        return image.convert("RGB")
    smaller = image.reduce(2)
    smaller.putalpha(smaller.getchannel("A").point([0] + 255 * [255]))
    answer = _spread(smaller).resize(image.size, Image.Resampling.BILINEAR)
    answer.paste(image.convert("RGB"), mask=alpha.point([0] + 255 * [255]))
    return answer


def _over_three(pick: np.ufunc, plane: Plane, axis: int) -> Plane:
    padded = np.pad(plane, [(1, 1) if each == axis else (0, 0) for each in (0, 1)], mode="edge")
    before, here, after = (np.take(padded, range(start, start + plane.shape[axis]), axis) for start in (0, 1, 2))
    answer: Plane = pick(pick(before, here), after)
    return answer
