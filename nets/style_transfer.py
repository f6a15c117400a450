"""The image transformation network for style transfer (Johnson et al. 2016, section 3.1 and supplement)."""

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
    """The hyperparameters of a style transfer network. `paper()` returns those of the 2016 paper.

    width: channels after the first convolution. The next two have 2x and 4x as many. The paper has 32.
    residual_blocks: number of blocks at a quarter of the resolution. The paper has 5.
    norm: "instance", or "batch" as in the paper.
    upsampling: "resize" (nearest neighbour and a convolution), or "transposed" (convolution) as in the paper.
    padding: "each" reflects the border at each convolution. "once" reflects it at the input only, and the residual
        blocks have no padding, as in the paper (40 pixels for 5 blocks).
    output: "linear", or "tanh" scaled to [0, 1] as in the paper.
    grain: amplitude of a fixed noise added to the input, 0 to 1. It gives the network a texture to paint on where the
        content image is uniform, such as an overexposed sky.
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
        """Whether everything except the instance norm statistics is local, so that bands and tiles work."""
        return (self.norm, self.upsampling, self.padding, self.output) == ("instance", "resize", "each", "linear")

    @classmethod
    def paper(cls) -> "StyleTransferConfig":
        """Return the config of the network published in 2016."""
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
    """Renders a content image in one style, which its weights define.

    float (N, 3, H, W), RGB in [0, 1] -> float32 (N, 3, H, W), RGB, nominally in [0, 1] (clamp before display).
    Accepts any H and W from 1. Instance norm statistics of very few pixels are not meaningful.
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
            # one by one: a batch is not faster on a CPU, and a single image keeps its layout (InstanceNorm)
            return torch.cat([self._stylize(image) for image in torch.split(x, 1)])
        return self._stylize(x)

    def _stylize(self, x: Tensor) -> Tensor:
        # each unpadded residual block removes 2 pixels from each border, at a quarter of the resolution
        removed = 0 if self.config.padding == "each" else 2 * self.config.residual_blocks
        size = (x.shape[-2], x.shape[-1])
        if self.config.grain:
            x = x + self.config.grain * grain(*size, x.device)
        full = self.down1(reflection_pad(x, 4 * removed))
        half = self.down2(full)
        quarter = self.residual(self.down3(half))
        half_size = (half.shape[-2] - 4 * removed, half.shape[-1] - 4 * removed)
        y: Tensor = self.output(self.up2(self.up1(quarter, half_size), size))
        return y if self.config.output == "linear" else 0.5 + 0.5 * torch.tanh(y)
