"""A style transfer network, computed band by band: the whole picture's answer in a fraction of the memory."""

from collections.abc import Sequence
from typing import TypeGuard

import numpy as np
import torch
from torch import Tensor, nn

from nets.banded.bands import Convolved, Rows, Statistics, Steps, bands
from nets.banded.norms import Norms, Painted, settle
from nets.banded.space_to_depth import ConvolvedToRgb, DoubledConvolved
from nets.banded.trunk import paint_style
from nets.layers import ResidualBlock, ResizeConv, grain
from nets.pixels import Picture, from_network, scale, upload
from nets.style_transfer import StyleTransferNet
from nets.style_trunk import StyleTrunkNet

SMALLEST_SIDE_PX = 64
"""Below this, a quarter of the resolution is too small to be cut and mirrored: the network runs as a whole."""


def can_paint(net: nn.Module, height: int, width: int) -> TypeGuard[StyleTransferNet | StyleTrunkNet]:
    """Whether `paint` knows the network and the size."""
    known = isinstance(net, StyleTrunkNet) or (isinstance(net, StyleTransferNet) and net.config.local)
    return known and min(height, width) >= SMALLEST_SIDE_PX


def paint(
    net: StyleTransferNet | StyleTrunkNet,
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
    if isinstance(net, StyleTrunkNet):
        return (yield from paint_style(net, picture, device, band_pixels, known, corner))
    norms = Norms(known)
    source: Rows = _PictureRows(picture, net.config.grain, device, corner)
    sizes, maps = [], []
    for down in (net.down1, net.down2, net.down3):
        sizes.append((source.height, source.width))
        per_band = band_pixels // down.conv.conv.stride[0] ** 2  # a band's cost is in what it reads
        source = yield from norms.kept(Convolved(down.conv.conv, "mirrored", source), per_band, down.norm)
        maps.append(norms.last)
    body = yield from settle(norms.last, None, band_pixels)
    inner, outer = None, None  # two maps take turns, and a third for what is between them
    for block in net.residual:
        assert isinstance(block, ResidualBlock)
        inner = yield from norms.kept(Convolved(block.conv1, "mirrored", body), band_pixels, block.norm1, into=inner)
        again = Convolved(block.conv2, "mirrored", inner)
        yield from norms.kept(again, band_pixels, block.norm2, relu=False, into=outer)
        outer, body = body, (yield from settle(norms.last, body, band_pixels))
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
