"""The layers of the networks. All tensors are (N, C, H, W). Any height and width is accepted, odd ones included."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NORM_EPSILON = 1e-5


@contextmanager
def single_thread() -> Iterator[None]:
    """Run torch with one thread, so that sums over a picture do not depend on the number of threads."""
    threads = torch.get_num_threads()
    if threads > 1:
        torch.set_num_threads(1)  # 0.2 microseconds
    try:
        yield
    finally:
        if threads > 1:
            torch.set_num_threads(threads)


def reflection_pad(x: Tensor, pixels: int) -> Tensor:
    """Pad each border by `pixels` with a reflection that does not repeat the edge.

    (N, C, H, W) -> (N, C, H + 2 pixels, W + 2 pixels). A side that is too short (H <= pixels) is reflected several
    times; a side of one pixel is repeated.
    """
    height, width = x.shape[-2:]
    remaining_y, remaining_x = pixels, pixels
    while remaining_y > 0 or remaining_x > 0:
        step_y, step_x = min(remaining_y, height - 1), min(remaining_x, width - 1)
        if (remaining_y and not step_y) or (remaining_x and not step_x):  # a side of one pixel has nothing to reflect
            return F.pad(x, (remaining_x, remaining_x, remaining_y, remaining_y), mode="replicate")
        x = F.pad(x, (step_x, step_x, step_y, step_y), mode="reflect")
        remaining_y, remaining_x = remaining_y - step_y, remaining_x - step_x
        height, width = x.shape[-2:]
    return x


def grain(height: int, width: int, device: torch.device, top: int = 0, left: int = 0) -> Tensor:
    """Return fixed noise: float32 (1, 1, H, W), uniform in [-1, 1].

    The value of a pixel is a 32-bit integer hash of its coordinates, so it does not depend on the size of the picture,
    the device or the library. top, left: coordinates of the first row and column.
    """
    y = torch.arange(top, top + height, device=device, dtype=torch.int64)[:, None]
    x = torch.arange(left, left + width, device=device, dtype=torch.int64)[None, :]
    n = (x * 374_761_393 + y * 668_265_263) & 0xFFFFFFFF
    n = ((n ^ (n >> 13)) * 1_274_126_177) & 0xFFFFFFFF
    n = (n ^ (n >> 16)) & 0xFFFF
    return (n.float() / 32_767.5 - 1.0)[None, None]


def octave_noise(height: int, width: int, wavelength: int, device: torch.device, top: int = 0, left: int = 0) -> Tensor:
    """Fixed noise of one wavelength in pixels, the same at a pixel whatever the picture's size.

    float32 (1, 1, H, W) in [-1, 1]: `grain` on a lattice of that wavelength, interpolated bilinearly. top, left: where
    in the picture the first row and column lie.
    """
    rows, columns = (
        (first // wavelength, -(-(first + size) // wavelength) + 2) for first, size in ((top, height), (left, width))
    )
    lattice = grain(rows[1] - rows[0], columns[1] - columns[0], device, rows[0] + wavelength, columns[0] + wavelength)
    if wavelength == 1:
        return lattice[..., :height, :width]
    smooth = F.interpolate(lattice, scale_factor=float(wavelength), mode="bilinear", align_corners=False)
    y, x = top - rows[0] * wavelength + wavelength // 2, left - columns[0] * wavelength + wavelength // 2
    return smooth[..., y : y + height, x : x + width]


class InstanceNorm(nn.Module):
    """Normalise each channel of each image by its own mean and variance over space, then scale and shift.

    (N, C, H, W) -> same. Scales and shifts are (C,) for all images, or (N, C), one row per image. Ulyanov et al. 2016,
    "Instance Normalization: The Missing Ingredient for Fast Stylization".
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        if self.weight.dim() == 2:
            normalised = F.instance_norm(x, eps=NORM_EPSILON) if x.shape[-1] * x.shape[-2] > 1 else torch.zeros_like(x)
            return normalised * per_image(self.weight) + per_image(self.bias)
        if x.shape[-1] * x.shape[-2] == 1:  # a single value minus its mean is zero
            return self.bias[:, None, None].expand_as(x).to(x.dtype)
        if x.shape[0] == 1:
            # the same values as F.instance_norm, but batch_norm keeps the channels_last layout and makes no copies
            with nullcontext() if self.training else single_thread():  # in training, speed matters more
                return F.batch_norm(x, None, None, self.weight, self.bias, True, 0.0, NORM_EPSILON)
        return F.instance_norm(x, weight=self.weight, bias=self.bias, eps=NORM_EPSILON)


def per_image(values: Tensor) -> Tensor:
    """Shape values of channels to be combined with maps: (C,) -> (C, 1, 1), and (N, C) -> (N, C, 1, 1)."""
    return values[..., None, None]


def make_norm(kind: str, channels: int) -> nn.Module:
    """Return the normalisation `kind`: "instance", or "batch" as in the 2016 paper. Raises ValueError for others."""
    if kind == "instance":
        return InstanceNorm(channels)
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    raise ValueError(f"norm must be 'instance' or 'batch', not {kind!r}")


class ReflectionConv(nn.Module):
    """A convolution with reflection padding. Zero padding would leave a visible pattern along the border.

    (N, C, H, W) -> (N, C', ceil(H / stride), ceil(W / stride)).
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int = 1, bias: bool = True) -> None:
        super().__init__()
        self.padding = kernel // 2
        self.conv = nn.Conv2d(channels_in, channels_out, kernel, stride, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(reflection_pad(x, self.padding))
        return y


class ResidualBlock(nn.Module):
    """conv-norm-ReLU-conv-norm plus the input, without a ReLU after the addition (the paper's supplement, figure 1).

    (N, C, H, W) -> the same with reflection padding. With `padded` false, as in the paper, the output is
    (N, C, H - 4, W - 4) and the shortcut is cropped to match.
    """

    def __init__(self, channels: int, norm: str, padded: bool = True) -> None:
        super().__init__()
        self.padded = padded
        self.conv1 = nn.Conv2d(channels, channels, 3)
        self.norm1 = make_norm(norm, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3)
        self.norm2 = make_norm(norm, channels)

    def forward(self, x: Tensor) -> Tensor:
        pad = 1 if self.padded else 0
        y: Tensor = F.relu(self.norm1(self.conv1(reflection_pad(x, pad))))
        y = self.norm2(self.conv2(reflection_pad(y, pad)))
        return y + (x if self.padded else x[..., 2:-2, 2:-2])


class ResizeConv(nn.Module):
    """Nearest-neighbour upsampling by two and a convolution. It avoids the checkerboard of a transposed convolution.

    (N, C, H, W) and the output size (H', W'), at most (2H, 2W) -> (N, C', H', W').
    Odena et al. 2016, "Deconvolution and Checkerboard Artifacts".
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = ReflectionConv(channels_in, channels_out, 3)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        y = F.interpolate(x, scale_factor=2.0, mode="nearest")
        if (y.shape[-2], y.shape[-1]) != size:
            y = y[..., : size[0], : size[1]]
        upsampled: Tensor = self.conv(y)
        return upsampled


class TransposedConv(nn.Module):
    """The convolution with stride 1/2 of the paper. (N, C, H, W) and the output size (H', W') -> (N, C', H', W')."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(channels_in, channels_out, 3, stride=2, padding=1, output_padding=1)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        y: Tensor = self.conv(x)
        return y[..., : size[0], : size[1]]


class RgbOutput(nn.Module):
    """The last convolution, to three channels, whose bias is added in float32.

    (N, C, H, W) -> float32 (N, 3, H, W). In bfloat16, values between 0.5 and 1 have a spacing of 1/256. The bias starts
    at mid-grey and carries the mean brightness, so the values that pass through bfloat16 stay small and precise.
    """

    def __init__(self, channels: int, kernel: int, mid_grey: float) -> None:
        super().__init__()
        self.conv = ReflectionConv(channels, 3, kernel, bias=False)
        self.bias = nn.Parameter(torch.full((3,), mid_grey))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return y.float() + self.bias[:, None, None]
