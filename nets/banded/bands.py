"""Computes feature maps in bands of rows, so that the rows stay in the processor's caches.

The layers run one after the other. The output of each convolution is stored as a whole map, in the precision of the
convolution. The operations between two convolutions (normalise, ReLU, upsample, reflect the border) run on the rows of
one band when the next layer reads them. Each band also reads the rows around it that its convolution needs, so the
output equals that of the whole image. The computation can pause after each band, or be abandoned there.
"""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nets.layers import NORM_EPSILON, InstanceNorm, single_thread

Result = TypeVar("Result")

Steps = Generator[None, None, Result]
"""A computation in steps: each `next()` runs one step. The result is the value of the StopIteration."""


def run_to_end(steps: "Steps[Result]") -> Result:
    """Run a computation without pausing. Returns its result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result


@dataclass(frozen=True)
class Statistics:
    """The mean and the (population) variance of each channel over one image: float32 (C,) each."""

    mean: Tensor
    variance: Tensor


class Rows(Protocol):
    """A feature map (N, C, height, width) whose rows can be read."""

    height: int
    width: int

    def read(self, top: int, bottom: int) -> Tensor:
        """Return rows `top` (included) to `bottom` (excluded): (N, C, bottom - top, width)."""


class FeatureMap:
    """A stored map, (N, C, H, W) channels_last, and the normalisation that `read` applies to its rows."""

    def __init__(self, values: Tensor) -> None:
        self.values = values
        self.height, self.width = values.shape[-2:]
        self._norm: InstanceNorm | None = None
        self._statistics: Statistics | None = None
        self._relu = False

    def normalised(self, norm: InstanceNorm, statistics: Statistics, relu: bool) -> "FeatureMap":
        """Return a view of the same memory whose rows are normalised, and passed through a ReLU, when they are read."""
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


class Overwritten:
    """A map that a 3x3 convolution reads band by band, from the top, while its result overwrites the rows read."""

    def __init__(self, source: FeatureMap) -> None:
        self.height, self.width = source.height, source.width
        self._values = source.values
        self._above: Tensor | None = None  # the row above the next band, as it was

    def read(self, top: int, bottom: int) -> Tensor:
        rows = self._values[..., top:bottom, :]
        if self._above is not None:
            rows = torch.cat([self._above, rows[..., 1:, :]], dim=-2)
        self._above = rows[..., -2:-1, :].clone()
        return rows


class NearestUpsampled:
    """A map upsampled by two with nearest neighbour and cropped to `size` (H, W). See `nets.layers.ResizeConv`."""

    def __init__(self, source: Rows, size: tuple[int, int]) -> None:
        self._source = source
        self.height, self.width = size

    def read(self, top: int, bottom: int) -> Tensor:
        rows = self._source.read(top // 2, (bottom + 1) // 2)
        n, c, h, w = rows.shape
        # The same values as F.interpolate(mode="nearest"), in a tenth of the time.
        upsampled = rows.permute(0, 2, 3, 1)[:, :, None, :, None].expand(n, h, 2, w, 2, c).reshape(n, 2 * h, 2 * w, c)
        return upsampled.permute(0, 3, 1, 2)[..., top % 2 : top % 2 + bottom - top, : self.width]


def bands(height: int, rows: int) -> Iterator[tuple[int, int]]:
    """Yield (top, bottom) of bands of about `rows` rows each. Their heights differ by one row at most."""
    count = max(1, round(height / max(1, rows)))
    for i in range(count):
        yield height * i // count, height * (i + 1) // count


class Moments:
    """The mean and variance of a map, combined from those of its bands (Chan et al. 1979).

    One thread computes the sums, so that the result does not depend on the number of threads. Several threads would
    add in another order, and a bfloat16 network turns that difference in the last bit into five levels of a pixel.
    """

    def __init__(self) -> None:
        self._count = 0
        self._mean: Tensor | None = None
        self._squares: Tensor | None = None

    def add(self, band: Tensor) -> None:
        """Add a band, (1, C, h, W), of any precision. The sums are float32."""
        count = band.shape[-2] * band.shape[-1]
        mean, variance = (torch.zeros(band.shape[1], device=band.device) for _ in range(2))
        with single_thread():
            torch.batch_norm_update_stats(band, mean, variance, 1.0)  # momentum 1: replace, do not average
        squares = variance * (count - 1)  # torch returns the sample variance
        if self._mean is None or self._squares is None:
            self._count, self._mean, self._squares = count, mean, squares
            return
        total = self._count + count
        difference = mean - self._mean
        self._squares += squares + difference**2 * (self._count * count / total)
        self._mean += difference * (count / total)
        self._count = total

    def statistics(self) -> Statistics:
        """Return the statistics of all bands added so far."""
        assert self._mean is not None
        assert self._squares is not None
        return Statistics(self._mean, self._squares / self._count)


Border = Literal["reflect", "zero"]
"""The padding of a convolution."""


class Convolution:
    """A convolution of `source`, computed when its rows are read: (N, C', ceil(H / stride), ceil(W / stride))."""

    def __init__(self, conv: nn.Conv2d, border: Border, source: Rows) -> None:
        self.height, self.width = (-(-side // conv.stride[0]) for side in (source.height, source.width))
        self._conv, self._border, self._source = conv, border, source

    def read(self, top: int, bottom: int) -> Tensor:
        conv = self._conv
        if self._border == "reflect":
            return F.conv2d(read_reflected(conv, self._source, top, bottom), conv.weight, conv.bias, conv.stride)
        rows, above, below = _read_receptive_rows(conv, self._source, top, bottom)
        if above or below:
            rows = F.pad(rows, (0, 0, above, below))
        return F.conv2d(rows, conv.weight, conv.bias, conv.stride, padding=(0, conv.kernel_size[1] // 2))


def materialize(
    source: Rows,
    band_pixels: int,
    then: Callable[[Tensor, int, int], Tensor] | None = None,
    into: FeatureMap | None = None,
) -> Steps[FeatureMap]:
    """Compute all rows of `source`, one band per step, and store them in a map.

    band_pixels: pixels of one band, about. then: maps (band, top, bottom) to the values that are stored. into: a map of
    the same shape that is no longer needed; its memory is reused, because a page fault for every 4096 bytes of new
    memory takes a third of the time of a large map.
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


def _read_receptive_rows(conv: nn.Conv2d, source: Rows, top: int, bottom: int) -> tuple[Tensor, int, int]:
    """Return the input rows of output rows `top` to `bottom`, and how many more lie above and below the map."""
    pad = conv.kernel_size[0] // 2
    first, last = top * conv.stride[0] - pad, (bottom - 1) * conv.stride[0] - pad + conv.kernel_size[0]
    rows = source.read(max(first, 0), min(last, source.height))
    return rows, max(-first, 0), max(last - source.height, 0)


def read_reflected(conv: nn.Conv2d, source: Rows, top: int, bottom: int) -> Tensor:
    """Return the input rows of output rows `top` to `bottom`, with reflection padding on all sides.

    The values are those of F.pad(mode="reflect"). That function would convert to float32 (autocast) and to another
    memory layout.
    """
    rows, above, below = _read_receptive_rows(conv, source, top, bottom)
    pad = conv.kernel_size[1] // 2
    n, c, h, w = rows.shape
    padded = rows.new_empty((n, above + h + below, pad + w + pad, c)).permute(0, 3, 1, 2)
    padded[..., above : above + h, pad : pad + w] = rows
    inside = padded[..., above : above + h, :]
    inside[..., :pad] = rows[..., 1 : pad + 1].flip(-1)
    inside[..., pad + w :] = rows[..., w - 1 - pad : w - 1].flip(-1)
    padded[..., :above, :] = inside[..., 1 : above + 1, :].flip(-2)
    padded[..., above + h :, :] = inside[..., h - 1 - below : h - 1, :].flip(-2)
    return padded
