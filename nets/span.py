"""SPAN (Wan et al. 2023), an upscaler at low resolution: three convolutions and a gate without parameters per block."""

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MEAN = (0.4488, 0.4371, 0.4040)
"""The mean colour of DIV2K, which the published weights subtract."""

NO_LIMIT = 1e4
"""More than any value of a feature map: the limits of a gate before they are set."""


class Size(Protocol):
    """The part of a config that the body needs: see nets.super_resolution.SuperResolutionConfig."""

    @property
    def factor(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def residual_blocks(self) -> int: ...


class GatedBlock(nn.Module):
    """Three convolutions, whose output gates itself. (N, C, H, W) -> the output, and the first activation.

    limits: the largest absolute values of the third convolution and of the output. Gates multiply, so that a pattern
    unlike a photograph, as ordered dithering, would reach a thousand times the values of photographs after six blocks.
    """

    limits: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv3 = nn.Conv2d(channels, channels, 3, padding=1)
        self.register_buffer("limits", torch.full((2,), NO_LIMIT))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first = F.silu(self.conv1(x))
        return gate(self.conv3(F.silu(self.conv2(first))), x, self.limits), first


def gate(detail: Tensor, x: Tensor, limits: Tensor) -> Tensor:
    """Multiply the sum of both by an odd sigmoid of `detail`: strong details pass, weak ones vanish.

    limits: float (2,), the largest absolute values of `detail` and of the product.
    """
    most_detail, most = limits
    detail = detail.clamp(-most_detail, most_detail)
    return ((detail + x) * (torch.sigmoid(detail) - 0.5)).clamp(-most, most)


class SpanBody(nn.Module):
    """SPAN in its re-parameterised form: float (N, 3, H, W) in [0, 1] -> float32 (N, 3, fH, fW).

    The last two convolutions compute in float32: in bfloat16, their output would have 129 of 6,349 values of a smooth
    16-bit picture.
    """

    mean: Tensor

    def __init__(self, config: Size) -> None:
        super().__init__()
        width = config.width
        self.factor = config.factor
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.head = nn.Conv2d(3, width, 3, padding=1)
        self.blocks = nn.ModuleList(GatedBlock(width) for _ in range(config.residual_blocks))
        self.deep = nn.Conv2d(width, width, 3, padding=1)
        self.fuse = nn.Conv2d(4 * width, width, 1)
        self.tail = nn.Conv2d(width, 3 * config.factor**2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(x - self.mean)
        joined = part_of_fuse(self.fuse, FEATURES, y)
        for i, block in enumerate(self.blocks):
            y, first = block(y)
            if i == len(self.blocks) - 1:
                joined = joined + part_of_fuse(self.fuse, FIRST, first)
            if i == 0:
                joined = joined + part_of_fuse(self.fuse, SHALLOW, y)
        joined = joined + part_of_fuse(self.fuse, LAST, self.deep(y))
        with torch.autocast(x.device.type, enabled=False):
            return F.pixel_shuffle(self.tail(joined), self.factor)


FEATURES, LAST, SHALLOW, FIRST = range(4)
"""The four maps that are joined: of the head, of the last convolution, of the first block, of the last block's SiLU."""


def part_of_fuse(conv: nn.Conv2d, part: int, x: Tensor) -> Tensor:
    """Return what one map contributes to the 1x1 convolution of all four: (N, C, H, W) -> float32 (N, C, H, W).

    The four are added in the order in which they are computed, so that none has to be kept.
    """
    channels = conv.out_channels
    weight = conv.weight[:, part * channels : (part + 1) * channels]
    with torch.autocast(x.device.type, enabled=False):
        return F.conv2d(x.float(), weight, conv.bias if part == FEATURES else None)
