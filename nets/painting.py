"""A style transfer network, computed band by band: the whole picture's answer in a fraction of the memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nets.bands import Doubled, FeatureMap, Rows, Statistics, Steps, bands, convolve_map, convolve_to_rgb
from nets.layers import InstanceNorm, ReflectionConv, ResidualBlock, ResizeConv, grain
from nets.pixels import Picture, from_network, to_network
from nets.style_transfer import StyleTransferNet

SMALLEST_SIDE_PX = 64
"""Below this, a quarter of the resolution is too small to be cut and mirrored: the network runs as a whole."""


@dataclass(frozen=True)
class Painted:
    """A picture, uint8 (H, W, 3), and the statistics of each instance norm on the way, in order."""

    picture: Picture
    statistics: list[Statistics]


def can_paint(net: nn.Module, height: int, width: int) -> bool:
    """Whether `paint` knows the network and the size."""
    if not isinstance(net, StyleTransferNet) or min(height, width) < SMALLEST_SIDE_PX:
        return False
    config = net.config
    return (config.norm, config.upsampling, config.padding, config.output) == ("instance", "resize", "each", "linear")


def paint(
    net: StyleTransferNet,
    picture: Picture,
    device: torch.device,
    band_pixels: int,
    known: Sequence[Statistics] | None = None,
    corner: tuple[int, int] = (0, 0),
) -> Steps[Painted]:
    """The picture in the network's style, a band of a layer at a time: uint8 (H, W, 3) -> the same.

    band_pixels: about how many pixels of a layer's answer are computed between two pauses. known: statistics to use
    instead of the picture's own, for a tile of a larger picture whose `corner` (top, left) it is.
    Raises ValueError where the answer is not finite.
    """
    norms = _Norms(known)
    source: Rows = _PictureRows(picture, net.config.grain, device, corner)
    sizes = []
    for down in (net.down1, net.down2, net.down3):
        sizes.append((source.height, source.width))
        raw = yield from convolve_map(down.conv.conv, down.conv.padding, source, band_pixels)
        source = norms.next(down.norm, *raw)
    body = yield from _settle(norms.last, None, band_pixels)
    for block in net.residual:
        assert isinstance(block, ResidualBlock)
        raw = yield from convolve_map(block.conv1, 1, body, band_pixels)
        raw = yield from convolve_map(block.conv2, 1, norms.next(block.norm1, *raw), band_pixels)
        norms.next(block.norm2, *raw, relu=False)
        body = yield from _settle(norms.last, body, band_pixels)
    source = body
    for up, size in ((net.up1, sizes[2]), (net.up2, sizes[1])):
        assert isinstance(up.conv, ResizeConv)
        raw = yield from convolve_map(up.conv.conv.conv, 1, Doubled(source, size), band_pixels)
        source = norms.next(up.norm, *raw)
    painted = np.empty_like(picture)
    last: ReflectionConv = net.output.conv
    for top, bottom in bands(source.height, band_pixels // source.width):
        band = convolve_to_rgb(last.conv, last.padding, source, top, bottom) + net.output.bias[:, None, None]
        painted[top:bottom] = from_network(band)[0]
        yield
    return Painted(painted, norms.used)


class _PictureRows:
    """A picture as the network's input: scaled, and with its grain, when it is read."""

    def __init__(self, picture: Picture, amount: float, device: torch.device, corner: tuple[int, int]) -> None:
        self.height, self.width = picture.shape[:2]
        self._picture, self._amount, self._device, self._corner = picture, amount, device, corner

    def read(self, top: int, bottom: int) -> Tensor:
        rows = to_network([self._picture[top:bottom]], self._device)
        if self._amount:
            noise = grain(bottom - top, self.width, self._device, self._corner[0] + top, self._corner[1])
            rows = rows + self._amount * noise
        return rows


class _Norms:
    """Hands each map its statistics: its own, or those that are known already."""

    def __init__(self, known: Sequence[Statistics] | None) -> None:
        self.used: list[Statistics] = []
        self.last: FeatureMap
        self._known: Iterator[Statistics] | None = None if known is None else iter(known)

    def next(self, norm: nn.Module, raw: FeatureMap, own: Statistics, relu: bool = True) -> FeatureMap:
        assert isinstance(norm, InstanceNorm)
        self.used.append(own if self._known is None else next(self._known))
        self.last = raw.normalised(norm, self.used[-1], relu)
        return self.last


def _settle(view: FeatureMap, shortcut: FeatureMap | None, band_pixels: int) -> Steps[FeatureMap]:
    """Do once and for all, in place, what would be done at each reading; then add the shortcut."""
    for top, bottom in bands(view.height, 4 * band_pixels // view.width):
        rows = view.read(top, bottom)
        view.values[..., top:bottom, :] = rows if shortcut is None else rows + shortcut.values[..., top:bottom, :]
        yield
    return FeatureMap(view.values)
