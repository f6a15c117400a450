"""Convolutions over blocks of 2 x 2 pixels: the same sums in shapes that fill a CPU's vector units.

The four pixels (phases) of a block become channels. A convolution with few channels over many pixels becomes one with
four times the channels at a quarter of the positions. The weights are rearranged once per picture. Each kernel tap
still multiplies the same pixel.
"""

from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nets.banded.bands import Convolution, NearestUpsampled, Rows, read_reflected


class UpsampledConvolution:
    """A reflection-padded 3 x 3 convolution of a map upsampled by two (`nets.layers.ResizeConv`).

    It is computed at the lower resolution. Each phase of the output depends on 2 x 2 positions of `source`, because
    several taps fall on the same position; their weights are added.
    """

    def __init__(self, conv: nn.Conv2d, source: Rows, size: tuple[int, int]) -> None:
        self.height, self.width = size
        self._conv, self._source = conv, source
        self._weight = _upsampling_weight(conv.weight)
        self._bias = None if conv.bias is None else conv.bias.repeat(4)

    def read(self, top: int, bottom: int) -> Tensor:
        first, last = top // 2, (bottom + 1) // 2
        output = depth_to_space(F.conv2d(self._padded(first, last), self._weight, self._bias))
        output = output[..., top - 2 * first : bottom - 2 * first, : self.width]
        # An odd side ends inside a block, and its padding reflects there, not at the end of the smaller map.
        if self.height % 2 and bottom == self.height:
            whole = NearestUpsampled(self._source, (self.height, self.width))
            output[..., -1:, :] = Convolution(self._conv, "reflect", whole).read(bottom - 1, bottom)
        if self.width % 2:
            edge = NearestUpsampled(_LastColumns(self._source, 2), (self.height, 3))
            output[..., -1:] = Convolution(self._conv, "reflect", edge).read(top, bottom)[..., -1:]
        return output

    def _padded(self, first: int, last: int) -> Tensor:
        """Return rows `first` - 1 to `last` + 1, padded by one: the reflection of an upsampled map repeats its edge."""
        rows = self._source.read(max(first - 1, 0), min(last + 1, self._source.height))
        n, c, h, w = rows.shape
        above, below = int(first == 0), int(last == self._source.height)
        padded = rows.new_empty((n, above + h + below, w + 2, c)).permute(0, 3, 1, 2)
        padded[..., above : above + h, 1:-1] = rows
        padded[..., 0] = padded[..., 1]
        padded[..., -1] = padded[..., -2]
        if above:
            padded[..., 0, :] = padded[..., 1, :]
        if below:
            padded[..., -1, :] = padded[..., -2, :]
        return padded


class RgbConvolution:
    """A reflection-padded 9 x 9 convolution to three channels, without a bias. The rows are float32."""

    def __init__(self, conv: nn.Conv2d, source: Rows) -> None:
        self.height, self.width = source.height, source.width
        self._conv, self._source = conv, source
        self._weight = _block_weight(conv.weight)

    def read(self, top: int, bottom: int) -> Tensor:
        padded = read_reflected(self._conv, self._source, top, bottom)
        output = F.conv2d(space_to_depth(padded), self._weight)
        return depth_to_space(output.float())[..., : bottom - top, : self.width]


class _LastColumns:
    """The last `columns` columns of a map."""

    def __init__(self, source: Rows, columns: int) -> None:
        self.height, self.width = source.height, columns
        self._source = source

    def read(self, top: int, bottom: int) -> Tensor:
        return self._source.read(top, bottom)[..., -self.width :]


def space_to_depth(pixels: Tensor) -> Tensor:
    """Turn blocks of 2 x 2 pixels into channels: (N, C, H, W) -> (N, 4 C, ceil(H / 2), ceil(W / 2)), channels_last.

    The pixels of a block follow each other row by row, each with its C channels. An odd side is padded with zeros.
    """
    n, c, h, w = pixels.shape
    if h % 2 or w % 2:
        pixels = F.pad(pixels, (0, w % 2, 0, h % 2))
        h, w = h + h % 2, w + w % 2
    blocks = pixels.permute(0, 2, 3, 1).reshape(n, h // 2, 2, w // 2, 2 * c)
    return blocks.transpose(2, 3).reshape(n, h // 2, w // 2, 4 * c).permute(0, 3, 1, 2)


def depth_to_space(blocks: Tensor) -> Tensor:
    """Invert `space_to_depth`: (N, 4 C, H, W) -> (N, C, 2 H, 2 W), channels_last."""
    n, c4, h, w = blocks.shape
    rows = blocks.permute(0, 2, 3, 1).reshape(n, h, w, 2, c4 // 2).transpose(2, 3)
    return rows.reshape(n, 2 * h, 2 * w, c4 // 4).permute(0, 3, 1, 2)


def _block_weight(weight: Tensor) -> Tensor:
    """Rearrange weights for `space_to_depth` pixels: (O, I, k, k), k odd -> (4 O, 4 I, (k + 1) / 2, (k + 1) / 2).

    Tap t of output phase a falls on phase p of block u where 2 u + p = a + t, in each dimension.
    """
    o, i, k, _ = weight.shape
    taps = (k + 1) // 2
    spread = weight.new_zeros((2, 2, o, 2, 2, i, taps, taps))
    padded = F.pad(weight, (1, 1, 1, 1))
    for a, b, p, q in product(range(2), repeat=4):
        spread[a, b, :, p, q] = padded[..., 1 + p - a :: 2, 1 + q - b :: 2][..., :taps, :taps]
    return spread.reshape(4 * o, 4 * i, taps, taps)


_FALLS_ON = torch.tensor([[[1.0, 0, 0], [0, 1, 1], [0, 0, 0]], [[0.0, 0, 0], [1, 1, 0], [0, 0, 1]]])
"""[phase][position before, at, after][tap]: 1 where that tap of that phase falls on the position."""


def _upsampling_weight(weight: Tensor) -> Tensor:
    """Rearrange weights over an upsampled map for the map before upsampling: (O, I, 3, 3) -> (4 O, I, 3, 3)."""
    o, i, _, _ = weight.shape
    falls_on = _FALLS_ON.to(weight)
    return torch.einsum("adt,bes,oits->aboide", falls_on, falls_on, weight).reshape(4 * o, i, 3, 3)
