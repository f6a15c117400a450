"""Runs any network in steps. See `nets.banded.bands`."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from nets.banded.bands import Steps
from nets.banded.style import can_stylize, stylize
from nets.banded.upscaler import can_upscale, upscale
from nets.pixels import Picture, from_network, to_network
from nets.style_transfer import StyleTransferNet
from nets.style_trunk import StyleTrunkNet, stack_styles

BAND_PIXELS = 65_536
"""Pixels of a layer that one step computes: a band that fits into the caches of two CPU cores (docs/performance.md)."""

_GPU_BAND_PIXELS = 2**22
"""The same for a GPU: enough work to fill it. Not measured."""

_BATCHED_FROM_PIXELS = 1024
"""Smaller pictures never share a batch on a CPU. Below about 512 pixels in all, the convolution uses another algorithm,
which adds in another order: the last bit of a small picture would depend on its batch."""


def compute(
    net: nn.Module | Sequence[nn.Module],
    pictures: list[Picture],
    device: torch.device,
    band_pixels: int | None = None,
) -> Steps[list[Picture | Exception]]:
    """Run a network on a batch. Returns one output, or one error, per picture, in order.

    net: one network for all pictures, or one for each, which are styles of one trunk. Each picture is uint8 or uint16,
    all of one size and depth: (H, W, 3) -> (sH, sW, 3). The network runs in bands if `nets.banded` supports it, else
    whole in one step. The output of an upscaler does not depend on the rest of the batch, bit for bit; that of a style
    does not on a CPU. band_pixels: pixels per step; None chooses by device.
    """
    band_pixels = band_pixels or band_pixels_for(device)
    nets = [net] * len(pictures) if isinstance(net, nn.Module) else list(net)
    net, height, width = nets[0], *pictures[0].shape[:2]
    one_by_one = len(pictures) == 1 or device.type == "cpu"  # instance norm gains nothing from a batch on a CPU
    if can_stylize(net, height, width) and one_by_one:
        outputs: list[Picture | Exception] = []
        for own, picture in zip(nets, pictures, strict=True):
            assert isinstance(own, StyleTransferNet | StyleTrunkNet)
            try:
                outputs.append((yield from stylize(own, picture, device, band_pixels)).picture)
            except ValueError as error:  # the output is not finite: only this picture fails
                outputs.append(error)
        return outputs
    if can_upscale(net):
        if height * width >= _BATCHED_FROM_PIXELS:
            return (yield from upscale(net, pictures, device, band_pixels))
        outputs = []
        for picture in pictures:
            outputs += yield from upscale(net, [picture], device, band_pixels)
        return outputs
    return _whole(_of_all(nets), pictures, device)


def band_pixels_for(device: torch.device) -> int:
    """Return how many pixels of a layer one step computes on this device."""
    return BAND_PIXELS if device.type == "cpu" else _GPU_BAND_PIXELS


def _of_all(nets: Sequence[nn.Module]) -> nn.Module:
    """The network of all pictures of a batch."""
    if all(net is nets[0] for net in nets):
        return nets[0]
    styles = [net for net in nets if isinstance(net, StyleTrunkNet)]
    assert len(styles) == len(nets)
    return stack_styles(styles)


def _whole(net: nn.Module, pictures: list[Picture], device: torch.device) -> list[Picture | Exception]:
    outputs: list[Picture | Exception] = []
    for item in torch.split(net(to_network(pictures, device)), 1):
        try:
            outputs += from_network(item, pictures[0].dtype)
        except ValueError as error:
            outputs.append(error)
    return outputs


def pattern_picture(height: int, width: int) -> Picture:
    """Return a synthetic picture for trials and warm-ups: uint8 (H, W, 3)."""
    y, x, c = np.mgrid[0:height, 0:width, 0:3]
    picture: Picture = ((3 * x + 5 * y + 60 * c) % 256).astype(np.uint8)
    return picture
