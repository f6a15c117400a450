"""A style transfer network that works at half resolution and below, so that many styles can share its convolutions.

photograph -> 2x2 pixels and noise become channels -> 1/2 -> 1/4 -> 1/8: residual blocks -> 1/4 -> 1/2 -> 2x2 pixels

A style owns the scales and shifts of the instance norms and of the output, and nothing else (conditional instance
normalization: Dumoulin, Shlens and Kudlur 2017, "A Learned Representation for Artistic Style"). The convolutions are
the trunk. See docs/decisions/0019-one-trunk-many-styles.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nets.layers import InstanceNorm, ReflectionConv, octave_noise, per_image

NOISE_WAVELENGTHS_PX = (2, 8, 24, 64)
"""Wavelengths of the noise: without it, a flat sky gives the network nothing to paint strokes on."""

_NOISE_AMPLITUDE = 0.25
"""Amplitude of the noise channels. The first convolution learns how much of it to use."""


@dataclass(frozen=True)
class StyleTrunkConfig:
    """The parameters that shape a trunk.

    width: channels at 1/2 of the resolution; 1/4 has twice and 1/8 four times as many.
    residual_blocks: blocks at 1/8 of the resolution.
    """

    width: int = 32
    residual_blocks: int = 5


class StyleTrunkNet(nn.Module):
    """Repaints a content image in one style.

    float (N, 3, H, W), RGB in [0, 1] -> float32 (N, 3, H, W), RGB, nominally in [0, 1] (clamp it to show it).
    Any H and W from 1 up. The receptive field is 219 px with five blocks, beside the statistics of the norms, which
    are those of the whole picture.
    """

    def __init__(self, config: StyleTrunkConfig) -> None:
        super().__init__()
        self.config = config
        half, quarter, eighth = config.width, 2 * config.width, 4 * config.width
        self.stem = Stage(4 * 3 + len(NOISE_WAVELENGTHS_PX), half, 3)
        self.down1 = Stage(half, quarter, 3, stride=2)
        self.down2 = Stage(quarter, eighth, 3, stride=2)
        self.residual = nn.Sequential(*(ResidualBlock(eighth) for _ in range(config.residual_blocks)))
        self.up1 = Stage(eighth, quarter, 3)
        self.skip = Stage(quarter, quarter, 1)
        self.up2 = Stage(quarter, half, 3)
        self.output = PixelOutput(half)

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type == "cpu" and len(x) > 1 and self.output.weight.dim() == 1:
            # A batch gains nothing on a CPU; a batch of one keeps its layout (InstanceNorm) and stays in the caches.
            return torch.cat([self.forward(image) for image in torch.split(x, 1)])
        return self.paint(with_noise(x))[..., : x.shape[-2], : x.shape[-1]]

    def paint(self, cells: Tensor) -> Tensor:
        """Compute all but `with_noise`: (N, 16, H, W) -> float32 (N, 3, 2 H, 2 W)."""
        half = F.relu(self.stem(cells))
        quarter = F.relu(self.down1(half))
        eighth = self.residual(F.relu(self.down2(quarter)))
        y = F.relu(self.up1(_enlarge(eighth, quarter)) + self.skip(quarter))
        y = F.relu(self.up2(_enlarge(y, half)))
        painted: Tensor = self.output(y)
        return painted


def with_noise(x: Tensor, top: int = 0, left: int = 0) -> Tensor:
    """Turn 2x2 pixels into channels and add the noise: float (N, 3, H, W) -> (N, 16, ceil(H / 2), ceil(W / 2)).

    An odd side is extended by its last row or column. top, left: where in the picture the first pixel lies, even.
    """
    height, width = x.shape[-2], x.shape[-1]
    if height % 2 or width % 2:
        x = F.pad(x, (0, width % 2, 0, height % 2), mode="replicate")
    pixels = F.pixel_unshuffle(x - 0.5, 2)
    size = (pixels.shape[-2], pixels.shape[-1])
    noise = torch.cat(
        [octave_noise(*size, wavelength // 2, x.device, top // 2, left // 2) for wavelength in NOISE_WAVELENGTHS_PX],
        dim=1,
    )
    channels = torch.cat([pixels, (_NOISE_AMPLITUDE * noise).to(pixels.dtype).expand(len(x), -1, -1, -1)], dim=1)
    return channels.contiguous(memory_format=torch.channels_last)


class Stage(nn.Module):
    """Convolution and norm. (N, C, H, W) -> (N, C', ceil(H / stride), ceil(W / stride))."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = ReflectionConv(channels_in, channels_out, kernel, stride, bias=False)
        self.norm = InstanceNorm(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(self.conv(x))
        return y


class ResidualBlock(nn.Module):
    """Two stages with a ReLU between them, plus the input. (N, C, H, W) -> the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = Stage(channels, channels, 3)
        self.second = Stage(channels, channels, 3)
        nn.init.constant_(self.second.norm.weight, 0.5)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.second(F.relu(self.first(x)))
        return x + y


class PixelOutput(nn.Module):
    """The last convolution: its channels become 2x2 pixels, which are blurred, scaled and shifted in float32.

    (N, C, H, W) -> float32 (N, 3, 2 H, 2 W). The blur (1 2 1, twice) passes nothing of a pattern with a period of two
    pixels, so that the four pixels of a cell cannot form a grid.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = ReflectionConv(channels, 12, 3, bias=False)
        self.weight = nn.Parameter(torch.ones(3))
        self.bias = nn.Parameter(torch.full((3,), 0.5))
        weight = self.conv.conv.weight
        if not weight.is_meta:  # there is nothing to set, and torch would import sympy, which takes a second
            with torch.no_grad():  # the four pixels of a cell start equal
                weight.copy_((0.5 * weight[::4]).repeat_interleave(4, dim=0))

    def forward(self, x: Tensor) -> Tensor:
        y = cells_to_pixels(self.conv(x))
        return y * per_image(self.weight) + per_image(self.bias)


def cells_to_pixels(x: Tensor) -> Tensor:
    """Make 2x2 pixels of each cell and blur them: (N, 12, H, W) -> float32 (N, 3, 2 H, 2 W).

    The blur adds neighbours, first rows and then columns, in contiguous memory: `avg_pool2d` takes six times as long.
    """
    pixels = F.pad(F.pixel_shuffle(x, 2).float().contiguous(), (1, 1, 1, 1), mode="replicate")
    for _ in range(2):
        pixels = pixels[..., :-1, :] + pixels[..., 1:, :]
    for _ in range(2):
        pixels = pixels[..., :-1] + pixels[..., 1:]
    return pixels / 16


def _enlarge(x: Tensor, like: Tensor) -> Tensor:
    """Bilinear interpolation by two, cut to the size of `like`: nearest neighbours would show as steps of 4 px."""
    y = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
    return y[..., : like.shape[-2], : like.shape[-1]]


def style_parameters(net: StyleTrunkNet) -> dict[str, nn.Parameter]:
    """The parameters that a style owns, by their names in `state_dict`: the rest is the trunk's."""
    return {name: value for name, value in net.named_parameters() if not name.endswith("conv.weight")}


def trunk_parameters(net: StyleTrunkNet) -> dict[str, nn.Parameter]:
    """The parameters that the styles of a trunk share: the convolutions' weights."""
    return {name: value for name, value in net.named_parameters() if name.endswith("conv.weight")}


def with_new_style(net: StyleTrunkNet) -> StyleTrunkNet:
    """A network over the very same convolutions (shared, not copied), whose style is a copy of `net`'s."""
    with torch.device("meta"):
        other = StyleTrunkNet(net.config)
    own = {name: nn.Parameter(value.detach().clone()) for name, value in style_parameters(net).items()}
    _assign(other, {**own, **trunk_parameters(net)})
    return other.train(net.training)


def interpolate_styles(nets: Sequence[StyleTrunkNet], shares: Sequence[float]) -> StyleTrunkNet:
    """A network over the trunk of `nets` whose scales and shifts are theirs, weighted by `shares`."""
    mixed = with_new_style(nets[0])
    styles = [style_parameters(net) for net in nets]
    with torch.no_grad():
        for name, value in style_parameters(mixed).items():
            weighted = [share * style[name] for share, style in zip(shares, styles, strict=True)]
            value.copy_(torch.stack(weighted).sum(dim=0))
    return mixed


def average_style(nets: Sequence[StyleTrunkNet]) -> StyleTrunkNet:
    """A network over the trunk of `nets` in the mean of their styles."""
    return interpolate_styles(nets, [1 / len(nets)] * len(nets))


def stack_styles(nets: Sequence[StyleTrunkNet]) -> StyleTrunkNet:
    """A network over the trunk of `nets` that paints image i of a batch in the style of network i."""
    stacked = with_new_style(nets[0])
    styles = [style_parameters(net) for net in nets]
    rows = {name: torch.stack([style[name].detach() for style in styles]) for name in styles[0]}
    _assign(stacked, {name: nn.Parameter(value) for name, value in rows.items()})
    return stacked


def with_style(trunk: StyleTrunkNet, style: StyleTrunkNet) -> StyleTrunkNet:
    """A network over the convolutions of `trunk`, on its device, in a copy of the style of another network."""
    net = with_new_style(trunk)
    with torch.no_grad():
        for name, value in style_parameters(net).items():
            value.copy_(style_parameters(style)[name])
    return net


def share_trunk(one: nn.Module, other: nn.Module) -> bool:
    """Whether two networks have the very same convolutions in memory."""
    return (
        isinstance(one, StyleTrunkNet)
        and isinstance(other, StyleTrunkNet)
        and one.stem.conv.conv.weight is other.stem.conv.conv.weight
    )


def _assign(net: nn.Module, parameters: dict[str, nn.Parameter]) -> None:
    """Put parameters in the place of a network's own."""
    for name, value in parameters.items():
        module, _, last = name.rpartition(".")
        setattr(net.get_submodule(module), last, value)
