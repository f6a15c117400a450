"""Feature maps computed band by band: rows that stay in the processor's caches, and a place to pause after each.

A network works through one layer after the other. Each layer's map is held whole, in the precision of the
convolution; what is done to it before the next one (normalise, ReLU, enlarge, mirror the border) is done to the rows of
one band when they are read. The answer is the whole image's, because each band reads the rows that it needs beyond
its own. Between two bands the computation may pause, or never go on.
"""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nets.layers import NORM_EPSILON, InstanceNorm, one_thread

Answer = TypeVar("Answer")

Steps = Generator[None, None, Answer]
"""A computation that pauses between its parts: each `next()` is one; the answer is the StopIteration's value."""


def finish(steps: "Steps[Answer]") -> Answer:
    """Run a computation to its end, without pausing."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            answer: Answer = end.value
            return answer


@dataclass(frozen=True)
class Statistics:
    """Mean and variance of each channel over space: float32 (C,), of one image."""

    mean: Tensor
    variance: Tensor


class Rows(Protocol):
    """Something (N, C, height, width) of which rows can be had."""

    height: int
    width: int

    def read(self, top: int, bottom: int) -> Tensor:
        """Rows `top` (included) to `bottom` (excluded): (N, C, bottom - top, width)."""


class FeatureMap:
    """A map held whole, (N, C, H, W) channels_last, and what is done to its rows when they are read."""

    def __init__(self, values: Tensor) -> None:
        self.values = values
        self.height, self.width = values.shape[-2:]
        self._norm: InstanceNorm | None = None
        self._statistics: Statistics | None = None
        self._relu = False

    def normalised(self, norm: InstanceNorm, statistics: Statistics, relu: bool) -> "FeatureMap":
        """The same map, normalised (and rectified) when it is read."""
        view = FeatureMap(self.values)
        view._norm, view._statistics, view._relu = norm, statistics, relu
        return view

    def read(self, top: int, bottom: int) -> Tensor:
        rows = self.values[..., top:bottom, :]
        if self._norm is not None and self._statistics is not None:
            rows = F.batch_norm(
                rows,
                self._statistics.mean,
                self._statistics.variance,
                self._norm.weight,
                self._norm.bias,
                False,
                0.0,
                NORM_EPSILON,
            )
        return rows.relu_() if self._relu else rows


class Doubled:
    """Rows enlarged twice by nearest neighbour, cut to a size. See `nets.layers.ResizeConv`."""

    def __init__(self, source: Rows, size: tuple[int, int]) -> None:
        self._source = source
        self.height, self.width = size

    def read(self, top: int, bottom: int) -> Tensor:
        rows = self._source.read(top // 2, (bottom + 1) // 2)
        n, c, h, w = rows.shape
        # As F.interpolate(mode="nearest") does it, in a tenth of the time.
        doubled = rows.permute(0, 2, 3, 1)[:, :, None, :, None].expand(n, h, 2, w, 2, c).reshape(n, 2 * h, 2 * w, c)
        return doubled.permute(0, 3, 1, 2)[..., top % 2 : top % 2 + bottom - top, : self.width]


def bands(height: int, rows: int) -> Iterator[tuple[int, int]]:
    """Cut `height` rows into bands of about `rows`, none of them much smaller than the others."""
    count = max(1, round(height / max(1, rows)))
    for i in range(count):
        yield height * i // count, height * (i + 1) // count


class Moments:
    """Mean and variance over all the bands of a map, put together from those of each (Chan et al. 1979).

    The same bits whatever the number of threads. Several would each add up their part of a band, and so in another
    order than one: a network in bfloat16 makes five levels of that last bit. So one thread makes these sums.
    """

    def __init__(self) -> None:
        self._count = 0
        self._mean: Tensor | None = None
        self._squares: Tensor | None = None

    def add(self, band: Tensor) -> None:
        """Take in (1, C, h, W), of any precision; sums are float32."""
        count = band.shape[-2] * band.shape[-1]
        mean, variance = (torch.zeros(band.shape[1], device=band.device) for _ in range(2))
        with one_thread():
            torch.batch_norm_update_stats(band, mean, variance, 1.0)  # momentum 1: what it had before is forgotten
        squares = variance * (count - 1)  # its variance is that of a sample
        if self._mean is None or self._squares is None:
            self._count, self._mean, self._squares = count, mean, squares
            return
        total = self._count + count
        difference = mean - self._mean
        self._squares += squares + difference**2 * (self._count * count / total)
        self._mean += difference * (count / total)
        self._count = total

    def statistics(self) -> Statistics:
        """What was taken in, together."""
        assert self._mean is not None
        assert self._squares is not None
        return Statistics(self._mean, self._squares / self._count)


Border = Literal["mirrored", "zero"]
"""What a convolution finds beyond the picture."""


class Convolved:
    """Rows of a convolution's answer, computed when they are read: (N, C', ceil(H / stride), ceil(W / stride))."""

    def __init__(self, conv: nn.Conv2d, border: Border, source: Rows) -> None:
        self.height, self.width = (-(-side // conv.stride[0]) for side in (source.height, source.width))
        self._conv, self._border, self._source = conv, border, source

    def read(self, top: int, bottom: int) -> Tensor:
        conv = self._conv
        if self._border == "mirrored":
            return F.conv2d(mirrored(conv, self._source, top, bottom), conv.weight, conv.bias, conv.stride)
        rows, above, below = _needed(conv, self._source, top, bottom)
        if above or below:
            rows = F.pad(rows, (0, 0, above, below))
        return F.conv2d(rows, conv.weight, conv.bias, conv.stride, padding=(0, conv.kernel_size[1] // 2))


def keep(
    source: Rows,
    band_pixels: int,
    then: Callable[[Tensor, int, int], Tensor] | None = None,
    into: FeatureMap | None = None,
) -> Steps[FeatureMap]:
    """Everything that `source` can give, read a band at a time. What is kept is `then(band, top, bottom)`.

    It is kept in the memory of `into`, a map of the same shape that is no longer needed: fresh memory costs a page
    fault per 4096 bytes, which for large maps is a third of the time.
    """
    values = None if into is None else into.values
    for top, bottom in bands(source.height, band_pixels // source.width):
        band = source.read(top, bottom)
        if then is not None:
            band = then(band, top, bottom)
        if values is None:
            values = band.new_empty((len(band), source.height, source.width, band.shape[1])).permute(0, 3, 1, 2)
        values[..., top:bottom, :] = band
        yield
    assert values is not None
    return FeatureMap(values)


def _needed(conv: nn.Conv2d, source: Rows, top: int, bottom: int) -> tuple[Tensor, int, int]:
    """The rows that a convolution needs for its answer's rows, and how many more above and below the picture."""
    pad = conv.kernel_size[0] // 2
    first, last = top * conv.stride[0] - pad, (bottom - 1) * conv.stride[0] - pad + conv.kernel_size[0]
    rows = source.read(max(first, 0), min(last, source.height))
    return rows, max(-first, 0), max(last - source.height, 0)


def mirrored(conv: nn.Conv2d, source: Rows, top: int, bottom: int) -> Tensor:
    """The rows that a convolution needs for its answer's rows `top` to `bottom`, mirrored beyond the picture.

    What F.pad(mode="reflect") does, without its detour through float32 (autocast) and another memory layout.
    """
    rows, above, below = _needed(conv, source, top, bottom)
    pad = conv.kernel_size[1] // 2
    n, c, h, w = rows.shape
    framed = rows.new_empty((n, above + h + below, pad + w + pad, c)).permute(0, 3, 1, 2)
    framed[..., above : above + h, pad : pad + w] = rows
    inside = framed[..., above : above + h, :]
    inside[..., :pad] = rows[..., 1 : pad + 1].flip(-1)
    inside[..., pad + w :] = rows[..., w - 1 - pad : w - 1].flip(-1)
    framed[..., :above, :] = inside[..., 1 : above + 1, :].flip(-2)
    framed[..., above + h :, :] = inside[..., h - 1 - below : h - 1, :].flip(-2)
    return framed
