"""Networks for single-image super-resolution: that of the 2016 paper, SRCNN, and a faster one at low resolution."""

from dataclasses import dataclass
from functools import reduce
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nets.layers import ReflectionConv, ResidualBlock, RgbOutput, TransposedConv, make_norm
from nets.span import SpanBody

FACTORS = (2, 4, 8)


@dataclass(frozen=True)
class SuperResolutionConfig:
    """The hyperparameters of a super-resolution network. `paper()` returns those of the 2016 paper.

    factor: upscaling factor of each side: 2, 4 or 8.
    width: channels of the body. residual_blocks: blocks at low resolution. The paper has 64 and 4.
    body: "subpixel" computes at low resolution, shuffles channels into pixels at the end and adds the result to a
        bicubic upscaling. "span" computes there as well, in blocks with a gate (nets.span). "paper" is the network of
        2016 (batch norm, convolutions with stride 1/2, tanh). "srcnn" is the baseline of the paper; it ignores
        residual_blocks.
    """

    factor: Literal[2, 4, 8] = 4
    width: int = 64
    residual_blocks: int = 4
    body: Literal["subpixel", "span", "paper", "srcnn"] = "subpixel"

    def __post_init__(self) -> None:
        if self.factor not in FACTORS:
            raise ValueError(f"factor must be one of {FACTORS}, not {self.factor!r}")

    @classmethod
    def paper(cls, factor: Literal[2, 4, 8] = 4) -> "SuperResolutionConfig":
        """Return the config of the network published in 2016."""
        return cls(factor=factor, body="paper")


class PlainBlock(nn.Module):
    """conv-ReLU-conv plus the input, without normalisation (EDSR, Lim et al. 2017). (N, C, H, W) -> same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        correction: Tensor = self.conv2(F.relu(self.conv1(x)))
        return x + correction


FLAT_REACH_PX = 3
"""How far `uneven` looks around a pixel."""


def uneven(x: Tensor) -> Tensor | None:
    """Return 0 inside areas of one colour and 1 elsewhere: float (N, C, H, W) -> float32 (N, 1, H, W).

    It falls over two pixels inside such an area. Pixels beside another colour get 1. None if there is no such area.
    """
    beside = reduce(torch.bitwise_or, (x[..., 1:] != x[..., :-1]).unbind(1))
    flat = ~_any_of(_any_of(beside, 4, -1), 5, -2)  # of 5 x 5 pixels, none differs from the next in its row
    if not bool(flat.any()):
        return None
    below = reduce(torch.bitwise_or, (x[..., 1:, :] != x[..., :-1, :]).unbind(1))
    flat &= ~_any_of(_any_of(below, 4, -2), 5, -1)
    if not bool(flat.any()):
        return None
    return 1 - F.avg_pool2d(flat[:, None].float(), 3, 1, 1, count_include_pad=False)


def _any_of(marks: Tensor, count: int, dim: int) -> Tensor:
    """Join `count` marks in a row, from the second before a pixel on: bool (N, H, W) -> bool. Pooling takes longer."""
    padded = F.pad(marks, (2, 2) if dim == -1 else (0, 0, 2, 2))
    length = padded.shape[dim] - count + 1
    return reduce(torch.bitwise_or, (padded.narrow(dim, start, length) for start in range(count)))


BOUND_REACH_PX = 2
"""How far `bounded` looks around a pixel."""

_OVERSHOOT = 0.1


def bounded(enlarged: Tensor, x: Tensor) -> Tensor:
    """Keep each pixel near the range of the 5 x 5 input pixels around it: float (N, 3, fH, fW), (N, 3, H, W) -> same.

    It may leave the range by a tenth of its width. So hard edges hardly ring, flat areas keep their colour exactly, and
    no pattern, however unlike a photograph, becomes glaring.
    """
    x = x.contiguous()  # three channels, channels_last, take three times as long
    high, low = _largest_around(x), -_largest_around(-x)
    spare = _OVERSHOOT * (high - low)
    least, most = (bound[:, :, :, None, :, None] for bound in (low - spare, high + spare))
    n, c, height, width = x.shape
    cells = enlarged.reshape(n, c, height, enlarged.shape[-2] // height, width, enlarged.shape[-1] // width)
    return cells.clamp(least, most).reshape(enlarged.shape)


def _largest_around(x: Tensor) -> Tensor:
    """Return the largest value of the 5 x 5 pixels around each: along rows, then along columns."""
    reach = BOUND_REACH_PX
    side = 2 * reach + 1
    return F.max_pool2d(F.max_pool2d(x, (1, side), 1, (0, reach)), (side, 1), 1, (reach, 0))


class SubpixelBody(nn.Module):
    """Convolutions at low resolution and a pixel shuffle (ESPCN, Shi et al. 2016), added to a bicubic upscaling.

    float (N, 3, H, W) -> float32 (N, 3, fH, fW). Only the correction is computed in reduced precision. The last
    convolution starts at zero, so training starts from bicubic. Areas of one colour keep it: there is no correction.
    """

    def __init__(self, config: SuperResolutionConfig) -> None:
        super().__init__()
        self.factor = config.factor
        self.head = nn.Conv2d(3, config.width, 3, padding=1)
        self.blocks = nn.Sequential(*(PlainBlock(config.width) for _ in range(config.residual_blocks)))
        self.tail = nn.Conv2d(config.width, 3 * config.factor**2, 3, padding=1)
        nn.init.zeros_(self.tail.weight)
        nn.init.zeros_(self.tail.bias)  # type: ignore[arg-type]  # this convolution has a bias

    def forward(self, x: Tensor) -> Tensor:
        features = self.head(x)
        correction, share = self.tail(features + self.blocks(features)), uneven(x)
        corrected = correction if share is None else correction * share
        return bicubic(x, self.factor) + F.pixel_shuffle(corrected, self.factor).float()


def bicubic(x: Tensor, factor: int) -> Tensor:
    """Upscale by bicubic interpolation: float (N, 3, H, W) -> float32 (N, 3, fH, fW).

    In contiguous memory, torch takes 0.6 times as long as in channels_last, with the same bits.
    """
    return F.interpolate(x.float().contiguous(), scale_factor=float(factor), mode="bicubic", align_corners=False)


class PaperBody(nn.Module):
    """The network of 2016 (supplement, table 2). float (N, 3, H, W) -> float32 (N, 3, fH, fW) in [0, 1]."""

    def __init__(self, config: SuperResolutionConfig) -> None:
        super().__init__()
        width = config.width
        self.head = ReflectionConv(3, width, 9)
        self.head_norm = make_norm("batch", width)
        self.blocks = nn.Sequential(*(ResidualBlock(width, "batch") for _ in range(config.residual_blocks)))
        doublings = config.factor.bit_length() - 1
        self.up = nn.ModuleList(TransposedConv(width, width) for _ in range(doublings))
        self.up_norms = nn.ModuleList(make_norm("batch", width) for _ in range(doublings))
        self.output = RgbOutput(width, 9, mid_grey=0.0)

    def forward(self, x: Tensor) -> Tensor:
        y = self.blocks(F.relu(self.head_norm(self.head(x))))
        for up, norm in zip(self.up, self.up_norms, strict=True):
            y = F.relu(norm(up(y, (2 * y.shape[-2], 2 * y.shape[-1]))))
        return 0.5 + 0.5 * torch.tanh(self.output(y))


class SrcnnBody(nn.Module):
    """SRCNN 9-5-5 (Dong et al. 2016) on RGB: three convolutions of a bicubic upscaling.

    float (N, 3, H, W) -> float32 (N, 3, fH, fW). There is no residual connection. Three channels of each layer start as
    the identity, so training starts from bicubic.
    """

    def __init__(self, config: SuperResolutionConfig) -> None:
        super().__init__()
        self.factor = config.factor
        self.patches = ReflectionConv(3, config.width, 9)
        self.mapping = ReflectionConv(config.width, config.width // 2, 5)
        self.output = RgbOutput(config.width // 2, 5, mid_grey=0.0)
        nn.init.zeros_(self.output.conv.conv.weight)
        for conv in (self.patches.conv, self.mapping.conv, self.output.conv.conv):
            nn.init.zeros_(conv.weight[:3])
            nn.init.dirac_(conv.weight[:3])
            if conv.bias is not None:
                nn.init.zeros_(conv.bias[:3])

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.output(F.relu(self.mapping(F.relu(self.patches(bicubic(x, self.factor))))))
        return y


class BoundedSpanBody(SpanBody):
    """SPAN whose output is `bounded`: float (N, 3, H, W) -> float32 (N, 3, fH, fW).

    In training it is not: a pixel at the bound would have no gradient.
    """

    def forward(self, x: Tensor) -> Tensor:
        enlarged = super().forward(x)
        return enlarged if self.training else bounded(enlarged, x.float())


_BODIES = {"subpixel": SubpixelBody, "span": BoundedSpanBody, "paper": PaperBody, "srcnn": SrcnnBody}


class SuperResolutionNet(nn.Module):
    """Upscales a picture by the factor of its config.

    float (N, 3, H, W), RGB in [0, 1] -> float32 (N, 3, fH, fW), RGB, nominally in [0, 1] (clamp before display).
    In eval mode no layer takes statistics over space, so tiles with a halo give the output of the whole image.
    """

    def __init__(self, config: SuperResolutionConfig) -> None:
        super().__init__()
        self.config = config
        self.body = _BODIES[config.body](config)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return y
