"""A style of a trunk, computed band by band: the whole picture's output in a fraction of the memory.

The same numbers as `StyleTrunkNet.forward`, but for rounding; a test compares them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nets.banded.bands import Convolution, FeatureMap, Rows, Statistics, Steps, bands
from nets.banded.norms import InstanceNorms, Stylized, normalise_in_place
from nets.pixels import Picture, from_network, to_unit_range, upload
from nets.style_trunk import ResidualBlock, Stage, StyleTrunkNet, cells_to_pixels, with_noise


def stylize_with_trunk(
    net: StyleTrunkNet,
    picture: Picture,
    device: torch.device,
    band_pixels: int,
    known: Sequence[Statistics] | None = None,
    corner: tuple[int, int] = (0, 0),
) -> Steps[Stylized]:
    """Stylize a picture, one band of a layer per step: uint8 or uint16 (H, W, 3) -> the same.

    band_pixels: about how many pixels of a layer's output are computed between two pauses. known: statistics to use
    instead of the picture's own, for a tile of a larger picture whose `corner` (top, left), both even, it is.
    Raises ValueError if the output is not finite.
    """
    norms = InstanceNorms(known)

    def stage(part: Stage, source: Rows, relu: bool = True, into: FeatureMap | None = None) -> Steps[FeatureMap]:
        rows = Convolution(part.conv.conv, "reflect", source)
        return norms.materialize(rows, band_pixels, part.norm, relu, into)

    half = yield from stage(net.stem, _NoisyCells(picture, device, corner))
    quarter = yield from stage(net.down1, half)
    yield from stage(net.down2, quarter)
    body = yield from normalise_in_place(norms.last, None, band_pixels)
    inner, outer = None, None  # two maps take turns, and a third for what is between them
    for block in net.residual:
        assert isinstance(block, ResidualBlock)
        inner = yield from stage(block.first, body, into=inner)
        second = yield from stage(block.second, inner, relu=False, into=outer)
        outer, body = body, (yield from normalise_in_place(second, body, band_pixels))
    up = yield from stage(net.up1, _Upsampled(body, quarter), relu=False)
    skip = yield from stage(net.skip, quarter, relu=False)
    last = yield from stage(net.up2, _Upsampled(_ReluSum(up, skip), half), into=half)
    output = np.empty_like(picture)
    cells = Convolution(net.output.conv.conv, "reflect", last)
    for top, bottom in bands(last.height, band_pixels // last.width):
        rows = _pixel_rows(cells, top, bottom)[..., : picture.shape[1]]
        rows = rows * net.output.weight[:, None, None] + net.output.bias[:, None, None]
        end = min(2 * bottom, picture.shape[0])
        output[2 * top : end] = from_network(rows[..., : end - 2 * top, :], picture.dtype)[0]
        yield
    return Stylized(output, norms.used)


class _NoisyCells:
    """A picture as the network's input: cells of 2x2 pixels with their noise, made when they are read."""

    def __init__(self, picture: Picture, device: torch.device, corner: tuple[int, int]) -> None:
        self.height, self.width = (-(-side // 2) for side in picture.shape[:2])
        self._pixels = upload([picture], device)
        self._top, self._left = corner

    def read(self, top: int, bottom: int) -> Tensor:
        return with_noise(to_unit_range(self._pixels[:, 2 * top : 2 * bottom]), self._top + 2 * top, self._left)


class _Upsampled:
    """Rows upsampled by two with bilinear interpolation, cut to the size of another map."""

    def __init__(self, source: Rows, like: Rows) -> None:
        self._source = source
        self.height, self.width = like.height, like.width

    def read(self, top: int, bottom: int) -> Tensor:
        first, last = max(0, top // 2 - 1), min(self._source.height, (bottom - 1) // 2 + 2)
        rows = self._source.read(first, last)
        upsampled = F.interpolate(rows, scale_factor=2.0, mode="bilinear", align_corners=False)
        return upsampled[..., top - 2 * first : bottom - 2 * first, : self.width]


@dataclass
class _ReluSum:
    """The rectified sum of two maps of one size, made when it is read."""

    one: Rows
    other: Rows

    def __post_init__(self) -> None:
        self.height, self.width = self.one.height, self.one.width

    def read(self, top: int, bottom: int) -> Tensor:
        return F.relu(self.one.read(top, bottom) + self.other.read(top, bottom))


def _pixel_rows(cells: Rows, top: int, bottom: int) -> Tensor:
    """The blurred pixels of the cells' rows `top` to `bottom`: (1, 3, 2 (bottom - top), 2 width).

    The blur reaches one pixel further, so one more row of cells is read on each side, where there is one.
    """
    first, last = max(0, top - 1), min(cells.height, bottom + 1)
    pixels = cells_to_pixels(cells.read(first, last))
    return pixels[..., 2 * (top - first) : 2 * (bottom - first), :]
