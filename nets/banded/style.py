"""Runs a style transfer network in bands: the output of the whole picture in a fraction of the memory."""

from collections.abc import Sequence
from typing import TypeGuard

import numpy as np
import torch
from torch import Tensor, nn

from nets.banded.bands import Convolution, NearestUpsampled, Rows, Statistics, Steps, bands
from nets.banded.norms import InstanceNorms, Stylized, normalise_in_place
from nets.banded.trunk import stylize_with_trunk
from nets.layers import ResidualBlock, ResizeConv, grain
from nets.pixels import Picture, from_network, to_unit_range, upload
from nets.style_transfer import StyleTransferNet
from nets.style_trunk import StyleTrunkNet

SMALLEST_SIDE_PX = 64
"""Smaller pictures run whole: a quarter of their resolution is too small for bands and reflection padding."""


def can_stylize(net: nn.Module, height: int, width: int) -> TypeGuard[StyleTransferNet | StyleTrunkNet]:
    """Return whether `stylize` supports this network and a picture of this size."""
    supported = isinstance(net, StyleTrunkNet) or (isinstance(net, StyleTransferNet) and net.config.local)
    return supported and min(height, width) >= SMALLEST_SIDE_PX


def stylize(
    net: StyleTransferNet | StyleTrunkNet,
    picture: Picture,
    device: torch.device,
    band_pixels: int,
    known: Sequence[Statistics] | None = None,
    corner: tuple[int, int] = (0, 0),
) -> Steps[Stylized]:
    """Stylize a picture, one band of a layer per step: uint8 or uint16 (H, W, 3) -> the same.

    band_pixels: about how many output pixels of a layer one step computes. known: statistics to use in place of the
    picture's own, for a tile of a larger picture. corner: (top, left) of that tile.
    Raises ValueError if the output is not finite.
    """
    if isinstance(net, StyleTrunkNet):
        return (yield from stylize_with_trunk(net, picture, device, band_pixels, known, corner))
    norms = InstanceNorms(known)
    source: Rows = _PictureRows(picture, net.config.grain, device, corner)
    sizes, maps = [], []
    for down in (net.down1, net.down2, net.down3):
        sizes.append((source.height, source.width))
        per_band = band_pixels // down.conv.conv.stride[0] ** 2  # the cost of a band grows with the rows that it reads
        source = yield from norms.materialize(Convolution(down.conv.conv, "reflect", source), per_band, down.norm)
        maps.append(norms.last)
    body = yield from normalise_in_place(norms.last, None, band_pixels)
    inner, outer = None, None  # buffers that the blocks reuse: `body` and `outer` take turns, `inner` lies between
    for block in net.residual:
        assert isinstance(block, ResidualBlock)
        inner = yield from norms.materialize(
            Convolution(block.conv1, "reflect", body), band_pixels, block.norm1, into=inner
        )
        second = Convolution(block.conv2, "reflect", inner)
        yield from norms.materialize(second, band_pixels, block.norm2, relu=False, into=outer)
        outer, body = body, (yield from normalise_in_place(norms.last, body, band_pixels))
    source = body
    for up, size, reusable in ((net.up1, sizes[2], maps[1]), (net.up2, sizes[1], maps[0])):
        assert isinstance(up.conv, ResizeConv)
        upsampled = Convolution(up.conv.conv.conv, "reflect", NearestUpsampled(source, size))
        source = yield from norms.materialize(upsampled, band_pixels, up.norm, into=reusable)
    output = np.empty_like(picture)
    rgb = Convolution(net.output.conv.conv, "reflect", source)
    for top, bottom in bands(source.height, band_pixels // source.width):
        band = rgb.read(top, bottom).float() + net.output.bias[:, None, None]
        output[top:bottom] = from_network(band, picture.dtype)[0]
        yield
    return Stylized(output, norms.used)


class _PictureRows:
    """A picture as the input of the network. `read` scales its rows to [0, 1] and adds the grain."""

    def __init__(self, picture: Picture, amount: float, device: torch.device, corner: tuple[int, int]) -> None:
        self.height, self.width = picture.shape[:2]
        self._pixels = upload([picture], device)
        self._amount, self._corner = amount, corner

    def read(self, top: int, bottom: int) -> Tensor:
        rows = to_unit_range(self._pixels[:, top:bottom])
        if self._amount:
            y, x = self._corner
            rows = rows + self._amount * grain(bottom - top, self.width, rows.device, y + top, x)
        return rows
