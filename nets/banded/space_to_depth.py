"""Convolutions over blocks of two by two pixels: the same sums, in shapes that a CPU's vector units can fill.

A block's four pixels (its phases) are laid out as channels, so that a convolution with few channels over many pixels
becomes one with four times as many over a quarter of the places. The weights are rearranged once for each picture; what
a tap of the kernel multiplies stays what it was.
"""

from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nets.banded.bands import Convolved, Doubled, Rows, mirrored


class DoubledConvolved:
    """Rows of a mirrored 3 x 3 convolution over a map enlarged twice by nearest neighbour (`nets.layers.ResizeConv`).

    Computed at the smaller size: each phase of the answer sees just two by two of its places, with the weights of the
    taps that fall on the same place added up.
    """

    def __init__(self, conv: nn.Conv2d, source: Rows, size: tuple[int, int]) -> None:
        self.height, self.width = size
        self._conv, self._source = conv, source
        self._weight = _over_places(conv.weight)
        self._bias = None if conv.bias is None else conv.bias.repeat(4)

    def read(self, top: int, bottom: int) -> Tensor:
        first, last = top // 2, (bottom + 1) // 2
        answer = unblocked(F.conv2d(self._framed(first, last), self._weight, self._bias))
        answer = answer[..., top - 2 * first : bottom - 2 * first, : self.width]
        # An odd side ends within a block, and mirrors there: not where the smaller map ends.
        if self.height % 2 and bottom == self.height:
            whole = Doubled(self._source, (self.height, self.width))
            answer[..., -1:, :] = Convolved(self._conv, "mirrored", whole).read(bottom - 1, bottom)
        if self.width % 2:
            edge = Doubled(_LastColumns(self._source, 2), (self.height, 3))
            answer[..., -1:] = Convolved(self._conv, "mirrored", edge).read(top, bottom)[..., -1:]
        return answer

    def _framed(self, first: int, last: int) -> Tensor:
        """The places from one before `first` to one after `last`, and a frame of one: mirrored, they repeat."""
        rows = self._source.read(max(first - 1, 0), min(last + 1, self._source.height))
        n, c, h, w = rows.shape
        above, below = int(first == 0), int(last == self._source.height)
        framed = rows.new_empty((n, above + h + below, w + 2, c)).permute(0, 3, 1, 2)
        framed[..., above : above + h, 1:-1] = rows
        framed[..., 0] = framed[..., 1]
        framed[..., -1] = framed[..., -2]
        if above:
            framed[..., 0, :] = framed[..., 1, :]
        if below:
            framed[..., -1, :] = framed[..., -2, :]
        return framed


class ConvolvedToRgb:
    """Rows of a mirrored 9 x 9 convolution with three answers and no bias, as float32."""

    def __init__(self, conv: nn.Conv2d, source: Rows) -> None:
        self.height, self.width = source.height, source.width
        self._conv, self._source = conv, source
        self._weight = _over_blocks(conv.weight)

    def read(self, top: int, bottom: int) -> Tensor:
        framed = mirrored(self._conv, self._source, top, bottom)
        answer = F.conv2d(blocked(framed), self._weight)
        return unblocked(answer.float())[..., : bottom - top, : self.width]


class _LastColumns:
    """The last columns of a map."""

    def __init__(self, source: Rows, columns: int) -> None:
        self.height, self.width = source.height, columns
        self._source = source

    def read(self, top: int, bottom: int) -> Tensor:
        return self._source.read(top, bottom)[..., -self.width :]


def blocked(pixels: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, 4 C, ceil(H / 2), ceil(W / 2)), channels_last: the channels of a block's pixels, row by row.

    What an odd side lacks is zero.
    """
    n, c, h, w = pixels.shape
    if h % 2 or w % 2:
        pixels = F.pad(pixels, (0, w % 2, 0, h % 2))
        h, w = h + h % 2, w + w % 2
    places = pixels.permute(0, 2, 3, 1).reshape(n, h // 2, 2, w // 2, 2 * c)
    return places.transpose(2, 3).reshape(n, h // 2, w // 2, 4 * c).permute(0, 3, 1, 2)


def unblocked(places: Tensor) -> Tensor:
    """The reverse of `blocked`: (N, 4 C, H, W) -> (N, C, 2 H, 2 W), channels_last."""
    n, c4, h, w = places.shape
    rows = places.permute(0, 2, 3, 1).reshape(n, h, w, 2, c4 // 2).transpose(2, 3)
    return rows.reshape(n, 2 * h, 2 * w, c4 // 4).permute(0, 3, 1, 2)


def _over_blocks(weight: Tensor) -> Tensor:
    """Weights (O, I, k, k), k odd, for blocked pixels: (4 O, 4 I, (k + 1) / 2, (k + 1) / 2).

    The answer's phase (a, b) finds its tap t at the phase p of the u-th block where 2 u + p = a + t.
    """
    o, i, k, _ = weight.shape
    taps = (k + 1) // 2
    spread = weight.new_zeros((2, 2, o, 2, 2, i, taps, taps))
    framed = F.pad(weight, (1, 1, 1, 1))
    for a, b, p, q in product(range(2), repeat=4):
        spread[a, b, :, p, q] = framed[..., 1 + p - a :: 2, 1 + q - b :: 2][..., :taps, :taps]
    return spread.reshape(4 * o, 4 * i, taps, taps)


_FALLS_ON = torch.tensor([[[1.0, 0, 0], [0, 1, 1], [0, 0, 0]], [[0.0, 0, 0], [1, 1, 0], [0, 0, 1]]])
"""[phase][place before, at, after][tap]: whether the tap of a phase of the enlarged map falls on the place."""


def _over_places(weight: Tensor) -> Tensor:
    """Weights (O, I, 3, 3) over an enlarged map, for the map before it was enlarged: (4 O, I, 3, 3)."""
    o, i, _, _ = weight.shape
    falls_on = _FALLS_ON.to(weight)
    return torch.einsum("adt,bes,oits->aboide", falls_on, falls_on, weight).reshape(4 * o, i, 3, 3)
