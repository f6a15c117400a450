"""A style transfer network, computed band by band: the whole picture's answer in a fraction of the memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeGuard

import numpy as np
import torch
from torch import Tensor, nn

from nets.banded.bands import Convolved, FeatureMap, Moments, Rows, Statistics, Steps, bands, keep
from nets.banded.space_to_depth import ConvolvedToRgb, DoubledConvolved
from nets.layers import InstanceNorm, ResidualBlock, ResizeConv, grain
from nets.pixels import Picture, from_network, scale, upload
from nets.style_transfer import StyleTransferNet

SMALLEST_SIDE_PX = 64
"""Below this, a quarter of the resolution is too small to be cut and mirrored: the network runs as a whole."""


@dataclass(frozen=True)
class Painted:
    """A picture, uint8 or uint16 (H, W, 3), and the statistics of each instance norm on the way, in order."""

    picture: Picture
    statistics: list[Statistics]


def can_paint(net: nn.Module, height: int, width: int) -> TypeGuard[StyleTransferNet]:
    """Whether `paint` knows the network and the size."""
    return isinstance(net, StyleTransferNet) and net.config.local and min(height, width) >= SMALLEST_SIDE_PX


def paint(
    net: StyleTransferNet,
    picture: Picture,
    device: torch.device,
    band_pixels: int,
    known: Sequence[Statistics] | None = None,
    corner: tuple[int, int] = (0, 0),
) -> Steps[Painted]:
    """The picture in the network's style, a band of a layer at a time: uint8 or uint16 (H, W, 3) -> the same.

    band_pixels: about how many pixels of a layer's answer are computed between two pauses. known: statistics to use
    instead of the picture's own, for a tile of a larger picture whose `corner` (top, left) it is.
    Raises ValueError where the answer is not finite.
    """
    norms = _Norms(known)
    source: Rows = _PictureRows(picture, net.config.grain, device, corner)
    sizes, maps = [], []
    for down in (net.down1, net.down2, net.down3):
        sizes.append((source.height, source.width))
        per_band = band_pixels // down.conv.conv.stride[0] ** 2  # a band's cost is in what it reads
        source = yield from norms.kept(Convolved(down.conv.conv, "mirrored", source), per_band, down.norm)
        maps.append(norms.last)
    body = yield from _settle(norms.last, None, band_pixels)
    inner, outer = None, None  # two maps take turns, and a third for what is between them
    for block in net.residual:
        assert isinstance(block, ResidualBlock)
        inner = yield from norms.kept(Convolved(block.conv1, "mirrored", body), band_pixels, block.norm1, into=inner)
        again = Convolved(block.conv2, "mirrored", inner)
        yield from norms.kept(again, band_pixels, block.norm2, relu=False, into=outer)
        outer, body = body, (yield from _settle(norms.last, body, band_pixels))
    source = body
    for up, size, done in ((net.up1, sizes[2], maps[1]), (net.up2, sizes[1], maps[0])):
        assert isinstance(up.conv, ResizeConv)
        doubled = DoubledConvolved(up.conv.conv.conv, source, size)
        source = yield from norms.kept(doubled, band_pixels, up.norm, into=done)
    painted = np.empty_like(picture)
    rgb = ConvolvedToRgb(net.output.conv.conv, source)
    for top, bottom in bands(source.height, band_pixels // source.width):
        band = rgb.read(top, bottom) + net.output.bias[:, None, None]
        painted[top:bottom] = from_network(band, picture.dtype)[0]
        yield
    return Painted(painted, norms.used)


class _PictureRows:
    """A picture as the network's input: scaled, and with its grain, when it is read."""

    def __init__(self, picture: Picture, amount: float, device: torch.device, corner: tuple[int, int]) -> None:
        self.height, self.width = picture.shape[:2]
        self._pixels = upload([picture], device)
        self._amount, self._corner = amount, corner

    def read(self, top: int, bottom: int) -> Tensor:
        rows = scale(self._pixels[:, top:bottom])
        if self._amount:
            y, x = self._corner
            rows = rows + self._amount * grain(bottom - top, self.width, rows.device, y + top, x)
        return rows


class _Norms:
    """Gives each map its statistics: its own, or those that are known already."""

    def __init__(self, known: Sequence[Statistics] | None) -> None:
        self.used: list[Statistics] = []
        self.last: FeatureMap
        self._known = None if known is None else iter(known)

    def kept(
        self, source: Rows, band_pixels: int, norm: nn.Module, relu: bool = True, into: FeatureMap | None = None
    ) -> Steps[FeatureMap]:
        """A convolution's answer, kept, and normalised when it is read."""
        assert isinstance(norm, InstanceNorm)
        own = Moments()

        def take_in(band: Tensor, _top: int, _bottom: int) -> Tensor:
            own.add(band)
            return band

        take = take_in if self._known is None else None
        raw = yield from keep(source, band_pixels, take, into)
        self.used.append(own.statistics() if self._known is None else next(self._known))
        self.last = raw.normalised(norm, self.used[-1], relu)
        return self.last


def _settle(view: FeatureMap, shortcut: FeatureMap | None, band_pixels: int) -> Steps[FeatureMap]:
    """Do once and for all, in place, what would be done at each reading; then add the shortcut."""
    for top, bottom in bands(view.height, 4 * band_pixels // view.width):
        rows = view.read(top, bottom)
        view.values[..., top:bottom, :] = rows if shortcut is None else rows + shortcut.values[..., top:bottom, :]
        yield
    return FeatureMap(view.values)
