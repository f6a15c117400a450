"""The image transformation network for style transfer (Johnson et al. 2016, section 3.1 and its supplement)."""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nets.layers import (
    ReflectionConv,
    ResidualBlock,
    ResizeConv,
    RgbOutput,
    TransposedConv,
    grain,
    make_norm,
    reflection_pad,
)


@dataclass(frozen=True)
class StyleTransferConfig:
    """What shapes a style transfer network.

    width: channels after the first convolution; the next two have 2x and 4x as many. 32 is the paper's "full" width.
    residual_blocks: blocks at a quarter of the resolution; the paper has 5.
    norm: "instance", or the paper's "batch".
    upsampling: "resize" (nearest, then convolution), or the paper's "transposed".
    padding: "each" mirrors the border at every convolution; "once" mirrors it once at the input and lets the residual
        blocks eat it, as the paper does (40 pixels for 5 blocks).
    output: "linear", or the paper's "tanh" scaled to [0, 1].
    grain: amplitude of a fixed noise added to the input. Without it a blown-out sky gives the network nothing to paint
        on, and stays a flat veil.
    """

    width: int = 32
    residual_blocks: int = 5
    norm: Literal["instance", "batch"] = "instance"
    upsampling: Literal["resize", "transposed"] = "resize"
    padding: Literal["each", "once"] = "each"
    output: Literal["linear", "tanh"] = "linear"
    grain: float = 0.0

    @property
    def local(self) -> bool:
        """Whether all but the statistics of instance norm is local, so that a picture can be computed in parts."""
        return (self.norm, self.upsampling, self.padding, self.output) == ("instance", "resize", "each", "linear")

    @classmethod
    def paper(cls) -> "StyleTransferConfig":
        """The network as published in 2016."""
        return cls(norm="batch", upsampling="transposed", padding="once", output="tanh")


class _Downsampling(nn.Module):
    """Convolution, norm, ReLU. (N, C, H, W) -> (N, C', ceil(H / stride), ceil(W / stride))."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int, norm: str) -> None:
        super().__init__()
        self.conv = ReflectionConv(channels_in, channels_out, kernel, stride)
        self.norm = make_norm(norm, channels_out)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)))


class _Upsampling(nn.Module):
    """Upsampling convolution, norm, ReLU. (N, C, H, W) and (H', W') -> (N, C', H', W')."""

    def __init__(self, channels_in: int, channels_out: int, kind: str, norm: str) -> None:
        super().__init__()
        layer = ResizeConv if kind == "resize" else TransposedConv
        self.conv = layer(channels_in, channels_out)
        self.norm = make_norm(norm, channels_out)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        return F.relu(self.norm(self.conv(x, size)))


class StyleTransferNet(nn.Module):
    """Repaints a content image in the one style that its weights hold.

    float (N, 3, H, W), RGB in [0, 1] -> float32 (N, 3, H, W), RGB, nominally in [0, 1] (clamp it to show it).
    Any H and W from 1 up; the statistics of instance norm need a few pixels to mean something.
    """

    def __init__(self, config: StyleTransferConfig) -> None:
        super().__init__()
        self.config = config
        width, norm = config.width, config.norm
        self.down1 = _Downsampling(3, width, 9, 1, norm)
        self.down2 = _Downsampling(width, 2 * width, 3, 2, norm)
        self.down3 = _Downsampling(2 * width, 4 * width, 3, 2, norm)
        padded = config.padding == "each"
        self.residual = nn.Sequential(*(ResidualBlock(4 * width, norm, padded) for _ in range(config.residual_blocks)))
        self.up1 = _Upsampling(4 * width, 2 * width, config.upsampling, norm)
        self.up2 = _Upsampling(2 * width, width, config.upsampling, norm)
        self.output = RgbOutput(width, 9, mid_grey=0.5 if config.output == "linear" else 0.0)

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type == "cpu" and len(x) > 1 and self.config.norm == "instance":
            # A batch gains nothing on a CPU; a batch of one keeps its layout (InstanceNorm) and stays in the caches.
            return torch.cat([self._paint(image) for image in torch.split(x, 1)])
        return self._paint(x)

    def _paint(self, x: Tensor) -> Tensor:
        # Each unpadded residual block takes 2 pixels from every border at a quarter of the resolution.
        eaten = 0 if self.config.padding == "each" else 2 * self.config.residual_blocks
        size = (x.shape[-2], x.shape[-1])
        if self.config.grain:
            x = x + self.config.grain * grain(*size, x.device)
        full = self.down1(reflection_pad(x, 4 * eaten))
        half = self.down2(full)
        quarter = self.residual(self.down3(half))
        half_size = (half.shape[-2] - 4 * eaten, half.shape[-1] - 4 * eaten)
        y: Tensor = self.output(self.up2(self.up1(quarter, half_size), size))
        return y if self.config.output == "linear" else 0.5 + 0.5 * torch.tanh(y)
