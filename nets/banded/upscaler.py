"""Runs a super-resolution network in bands. The output equals that of the whole picture bit for bit."""

from typing import TypeGuard

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nets.banded.bands import Convolution, FeatureMap, Overwritten, Rows, Steps, bands, materialize
from nets.pixels import Picture, from_network, to_unit_range, upload
from nets.span import FEATURES, FIRST, LAST, SHALLOW, GatedBlock, SpanBody, part_of_fuse
from nets.super_resolution import (
    BOUND_REACH_PX,
    FLAT_REACH_PX,
    PlainBlock,
    SubpixelBody,
    SuperResolutionNet,
    bicubic,
    bounded,
    uneven,
)

_BICUBIC_REACH_PX = 2


def can_upscale(net: nn.Module) -> TypeGuard[SuperResolutionNet]:
    """Return whether `upscale` supports this network."""
    return isinstance(net, SuperResolutionNet) and isinstance(net.body, SubpixelBody | SpanBody)


def upscale(
    net: SuperResolutionNet, pictures: list[Picture], device: torch.device, band_pixels: int
) -> Steps[list[Picture | Exception]]:
    """Upscale a batch of pictures of one size, one band of a layer per step.

    Each picture is uint8 or uint16: (H, W, 3) -> (fH, fW, 3). band_pixels: about how many output pixels of a layer one
    step computes. A picture whose output is not finite yields a ValueError in its place.
    """
    body = net.body
    assert isinstance(body, SubpixelBody | SpanBody)
    source = _Pictures(pictures, device)
    band_pixels //= len(pictures)
    if isinstance(body, SpanBody):
        features = yield from _span_features(body, source, band_pixels)
    else:
        features = yield from _subpixel_features(body, source, band_pixels)
    f = body.factor
    dtype = pictures[0].dtype
    outputs: list[Picture] = [np.empty((source.height * f, source.width * f, 3), dtype) for _ in pictures]
    failures: dict[int, Exception] = {}
    tail = Convolution(body.tail, "zero", features)
    for top, bottom in bands(source.height, band_pixels // source.width // 2):
        if isinstance(body, SpanBody):
            with torch.autocast(device.type, enabled=False):
                band = source.bounded(F.pixel_shuffle(tail.read(top, bottom), f), top, bottom, f)
        else:
            found, share = tail.read(top, bottom), source.uneven(top, bottom)
            corrected = found if share is None else found * share
            band = source.bicubic(top, bottom, f) + F.pixel_shuffle(corrected, f).float()
        for i, item in enumerate(torch.split(band, 1)):
            try:
                outputs[i][top * f : bottom * f] = from_network(item, dtype)[0]
            except ValueError as error:
                failures[i] = error
        yield
    return [failures.get(i, output) for i, output in enumerate(outputs)]


def _subpixel_features(body: SubpixelBody, source: "_Pictures", band_pixels: int) -> Steps[Rows]:
    """Compute what the last convolution reads."""
    features = yield from materialize(Convolution(body.head, "zero", source), band_pixels)
    deep, inner, outer = features, None, None
    for block in body.blocks:
        assert isinstance(block, PlainBlock)
        inner = yield from materialize(Convolution(block.conv1, "zero", deep), band_pixels, _relu, inner)
        outer = yield from materialize(Convolution(block.conv2, "zero", inner), band_pixels, _AddRows(deep), outer)
        deep = outer  # the next block overwrites each row of it after the last read of that row
    return _RowSum(features, deep)


def _span_features(body: SpanBody, source: "_Pictures", band_pixels: int) -> Steps[Rows]:
    """Compute what the last convolution reads, of SPAN, with three maps in memory."""
    deep = yield from materialize(Convolution(body.head, "zero", _Centred(source, body.mean)), band_pixels)
    joined = yield from materialize(_Part(body.fuse, FEATURES, deep), band_pixels)
    inner = None
    for i, block in enumerate(body.blocks):
        assert isinstance(block, GatedBlock)
        is_last = i == len(body.blocks) - 1
        first = _SiluRows(_Join(body.fuse, FIRST, joined) if is_last else None)
        inner = yield from materialize(Convolution(block.conv1, "zero", deep), band_pixels, first, inner)
        second = Convolution(block.conv2, "zero", Overwritten(inner))
        inner = yield from materialize(second, band_pixels, _SiluRows(), inner)
        gated = _GateRows(deep, block.limits, _Join(body.fuse, SHALLOW, joined) if i == 0 else None)
        # each row of `deep` is overwritten after the last read of that row
        deep = yield from materialize(Convolution(block.conv3, "zero", inner), band_pixels, gated, deep)
    last = _Join(body.fuse, LAST, joined)
    return (yield from materialize(Convolution(body.deep, "zero", deep), band_pixels, last, joined))


class _Pictures:
    """A batch of pictures as the input of the network. `read` scales its rows to [0, 1]."""

    def __init__(self, pictures: list[Picture], device: torch.device) -> None:
        self.height, self.width = pictures[0].shape[:2]
        self._pixels = upload(pictures, device)

    def read(self, top: int, bottom: int) -> Tensor:
        return to_unit_range(self._pixels[:, top:bottom])

    def uneven(self, top: int, bottom: int) -> Tensor | None:
        """Return rows `top` to `bottom` of nets.super_resolution.uneven: (N, 1, bottom - top, width), or None."""
        first, last = max(0, top - FLAT_REACH_PX), min(self.height, bottom + FLAT_REACH_PX)
        share = uneven(self.read(first, last))
        return None if share is None else share[..., top - first : bottom - first, :]

    def bounded(self, band: Tensor, top: int, bottom: int, factor: int) -> Tensor:
        """Bound the enlarged rows `top` to `bottom`, as nets.super_resolution.bounded does."""
        first, last = max(0, top - BOUND_REACH_PX), min(self.height, bottom + BOUND_REACH_PX)
        rows = self.read(first, last)
        above, below = (top - first) * factor, (last - bottom) * factor
        padded = F.pad(band, (0, 0, above, below))
        return bounded(padded, rows)[..., above : above + band.shape[-2], :]

    def bicubic(self, top: int, bottom: int, factor: int) -> Tensor:
        """Return rows `top` to `bottom`, upscaled: (N, 3, factor (bottom - top), factor width)."""
        first, last = max(0, top - _BICUBIC_REACH_PX), min(self.height, bottom + _BICUBIC_REACH_PX)
        rows = bicubic(self.read(first, last), factor)
        return rows[..., (top - first) * factor : (bottom - first) * factor, :]


class _Centred:
    """The rows of a picture without the mean colour."""

    def __init__(self, source: _Pictures, mean: Tensor) -> None:
        self.height, self.width = source.height, source.width
        self._source, self._mean = source, mean

    def read(self, top: int, bottom: int) -> Tensor:
        return self._source.read(top, bottom) - self._mean


def _relu(band: Tensor, _top: int, _bottom: int) -> Tensor:
    return band.relu_()


class _SiluRows:
    """Applies SiLU to a band, and adds the result to the joined map if there is a `join`."""

    def __init__(self, join: "_Join | None" = None) -> None:
        self._join = join

    def __call__(self, band: Tensor, top: int, bottom: int) -> Tensor:
        values = F.silu(band, inplace=True)
        if self._join is not None:
            self._join(values, top, bottom)
        return values


class _GateRows:
    """Gates a band with the same rows of another map, as nets.span.gate does, in less memory. Then as _SiluRows."""

    def __init__(self, shortcut: FeatureMap, limits: Tensor, join: "_Join | None") -> None:
        self._values, self._limits, self._join = shortcut.values, limits, join

    def __call__(self, band: Tensor, top: int, bottom: int) -> Tensor:
        most_detail, most = self._limits
        band.clamp_(-most_detail, most_detail)
        opened = torch.sigmoid(band).sub_(0.5)
        gated = opened.mul_(band.add_(self._values[..., top:bottom, :])).clamp_(-most, most)
        if self._join is not None:
            self._join(gated, top, bottom)
        return gated


class _AddRows:
    """Adds the same rows of another map."""

    def __init__(self, shortcut: FeatureMap) -> None:
        self._values = shortcut.values

    def __call__(self, band: Tensor, top: int, bottom: int) -> Tensor:
        return band.add_(self._values[..., top:bottom, :])


class _RowSum:
    """The sum of two maps, computed when its rows are read."""

    def __init__(self, first: FeatureMap, second: FeatureMap) -> None:
        self.height, self.width = first.height, first.width
        self._parts: tuple[Rows, Rows] = (first, second)

    def read(self, top: int, bottom: int) -> Tensor:
        first, second = (part.read(top, bottom) for part in self._parts)
        return first + second


class _Part:
    """What a map contributes to the 1x1 convolution of SPAN's four maps."""

    def __init__(self, fuse: nn.Conv2d, part: int, source: FeatureMap) -> None:
        self.height, self.width = source.height, source.width
        self._fuse, self._part, self._source = fuse, part, source

    def read(self, top: int, bottom: int) -> Tensor:
        return part_of_fuse(self._fuse, self._part, self._source.read(top, bottom))


class _Join:
    """Adds to the same rows of `joined` what a band contributes to that convolution. Returns these rows."""

    def __init__(self, fuse: nn.Conv2d, part: int, joined: FeatureMap) -> None:
        self._fuse, self._part, self._values = fuse, part, joined.values

    def __call__(self, band: Tensor, top: int, bottom: int) -> Tensor:
        return self._values[..., top:bottom, :].add_(part_of_fuse(self._fuse, self._part, band))
