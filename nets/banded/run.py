"""Any network's answer as a computation that can pause. See `nets.banded.bands`."""

import numpy as np
import torch
from torch import nn

from nets.banded.bands import Steps
from nets.banded.style import can_paint, paint
from nets.banded.upscaler import can_enlarge, enlarge
from nets.pixels import Picture, from_network, to_network

BAND_PIXELS = 65_536
"""Pixels of a layer between two pauses: what fits in the caches of two CPU cores, measured (docs/performance.md)."""

_GPU_BAND_PIXELS = 2**22
"""On a GPU, enough to fill it. Not measured."""

_BATCHED_FROM_PIXELS = 1024
"""Below about 512 pixels in all, a CPU's convolution takes another algorithm, which adds up in another order: a small
picture in a batch would get another picture's last bit."""


def compute(
    net: nn.Module, pictures: list[Picture], device: torch.device, band_pixels: int | None = None
) -> Steps[list[Picture | Exception]]:
    """One answer or error per picture, in order: (H, W, 3), uint8 or uint16, all of one size and depth -> (sH, sW, 3).

    In bands where the network is one of those that are known; else as a whole, without a pause. An upscaler's answer
    is bit for bit the same in whatever company; a style's, on a CPU. band_pixels: None for what suits the device.
    """
    band_pixels = band_pixels or suitable_band_pixels(device)
    height, width = pictures[0].shape[:2]
    alone = len(pictures) == 1 or device.type == "cpu"  # for instance norm, a batch gains nothing on a CPU
    if can_paint(net, height, width) and alone:
        answers: list[Picture | Exception] = []
        for picture in pictures:
            try:
                answers.append((yield from paint(net, picture, device, band_pixels)).picture)
            except ValueError as error:  # not finite: this picture's failure alone
                answers.append(error)
        return answers
    if can_enlarge(net):
        if height * width >= _BATCHED_FROM_PIXELS:
            return (yield from enlarge(net, pictures, device, band_pixels))
        answers = []
        for picture in pictures:
            answers += yield from enlarge(net, [picture], device, band_pixels)
        return answers
    return _whole(net, pictures, device)


def suitable_band_pixels(device: torch.device) -> int:
    """Pixels of a layer between two pauses."""
    return BAND_PIXELS if device.type == "cpu" else _GPU_BAND_PIXELS


def _whole(net: nn.Module, pictures: list[Picture], device: torch.device) -> list[Picture | Exception]:
    answers: list[Picture | Exception] = []
    for item in torch.split(net(to_network(pictures, device)), 1):
        try:
            answers += from_network(item, pictures[0].dtype)
        except ValueError as error:
            answers.append(error)
    return answers


def seeded_picture(height: int, width: int) -> Picture:
    """A picture in code, for trials: uint8 (H, W, 3)."""
    y, x, c = np.mgrid[0:height, 0:width, 0:3]
    picture: Picture = ((3 * x + 5 * y + 60 * c) % 256).astype(np.uint8)
    return picture
