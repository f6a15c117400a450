"""A super-resolution network, computed band by band. The answer is bit for bit the whole picture's."""

from typing import TypeGuard

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nets.banded.bands import Convolved, FeatureMap, Rows, Steps, bands, keep
from nets.pixels import Picture, from_network, scale, upload
from nets.super_resolution import PlainBlock, SubpixelBody, SuperResolutionNet

_BICUBIC_REACH_PX = 2


def can_enlarge(net: nn.Module) -> TypeGuard[SuperResolutionNet]:
    """Whether `enlarge` knows the network."""
    return isinstance(net, SuperResolutionNet) and isinstance(net.body, SubpixelBody)


def enlarge(
    net: SuperResolutionNet, pictures: list[Picture], device: torch.device, band_pixels: int
) -> Steps[list[Picture | Exception]]:
    """Pictures of one size, enlarged together, a band of a layer at a time: (H, W, 3) -> (fH, fW, 3) each, uint8 or
    uint16.

    band_pixels: about how many pixels of a layer's answer are computed between two pauses. A picture whose answer is
    not finite gets the ValueError instead.
    """
    body = net.body
    assert isinstance(body, SubpixelBody)
    source = _Pictures(pictures, device)
    band_pixels //= len(pictures)
    features = yield from keep(Convolved(body.head, "zero", source), band_pixels)
    deep, inner, outer = features, None, None
    for block in body.blocks:
        assert isinstance(block, PlainBlock)
        inner = yield from keep(Convolved(block.conv1, "zero", deep), band_pixels, _rectified, inner)
        outer = yield from keep(Convolved(block.conv2, "zero", inner), band_pixels, _Adder(deep), outer)
        deep = outer  # each row of it is read for the last time where the next block writes it
    f = body.factor
    dtype = pictures[0].dtype
    answers: list[Picture] = [np.empty((source.height * f, source.width * f, 3), dtype) for _ in pictures]
    failures: dict[int, Exception] = {}
    correction = Convolved(body.tail, "zero", _Sum(features, deep))
    for top, bottom in bands(source.height, band_pixels // source.width // 2):
        band = source.bicubic(top, bottom, f) + F.pixel_shuffle(correction.read(top, bottom), f).float()
        for i, item in enumerate(torch.split(band, 1)):
            try:
                answers[i][top * f : bottom * f] = from_network(item, dtype)[0]
            except ValueError as error:
                failures[i] = error
        yield
    return [failures.get(i, answer) for i, answer in enumerate(answers)]


class _Pictures:
    """Pictures as the network's input, scaled when they are read."""

    def __init__(self, pictures: list[Picture], device: torch.device) -> None:
        self.height, self.width = pictures[0].shape[:2]
        self._pixels = upload(pictures, device)

    def read(self, top: int, bottom: int) -> Tensor:
        return scale(self._pixels[:, top:bottom])

    def bicubic(self, top: int, bottom: int, factor: int) -> Tensor:
        """Rows `top` to `bottom` enlarged: (N, 3, factor (bottom - top), factor width)."""
        first, last = max(0, top - _BICUBIC_REACH_PX), min(self.height, bottom + _BICUBIC_REACH_PX)
        rows = F.interpolate(self.read(first, last), scale_factor=float(factor), mode="bicubic", align_corners=False)
        return rows[..., (top - first) * factor : (bottom - first) * factor, :]


def _rectified(band: Tensor, _top: int, _bottom: int) -> Tensor:
    return band.relu_()


class _Adder:
    """Adds the same rows of a map."""

    def __init__(self, shortcut: FeatureMap) -> None:
        self._values = shortcut.values

    def __call__(self, band: Tensor, top: int, bottom: int) -> Tensor:
        return band.add_(self._values[..., top:bottom, :])


class _Sum:
    """Two maps, added when they are read."""

    def __init__(self, first: FeatureMap, second: FeatureMap) -> None:
        self.height, self.width = first.height, first.width
        self._parts: tuple[Rows, Rows] = (first, second)

    def read(self, top: int, bottom: int) -> Tensor:
        first, second = (part.read(top, bottom) for part in self._parts)
        return first + second
