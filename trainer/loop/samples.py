"""Sample images of a run: a loss does not show what a picture looks like."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from nets.pixels import Picture, from_network, to_network
from trainer.data import Photographs, read_rgb, reduce


def choose(photographs: list[Path], count: int, longest_px: int) -> list[Image.Image]:
    """Choose `count` photographs, spread over the list, reduced to `longest_px`."""
    readable = Photographs(photographs)
    chosen = [readable.read((2 * i + 1) * len(photographs) // (2 * count)).copy() for i in range(count)]
    for image in chosen:
        image.thumbnail((longest_px, longest_px))
    return chosen


def stylised(
    net: nn.Module, images: list[Image.Image], device: torch.device, style_image: Path | None = None
) -> Image.Image:
    """Return content images above the outputs of the network, beside the style image if there is one."""
    above = [np.array(image) for image in images]
    below = [apply(net, picture, device) for picture in above]
    if style_image is None:
        return _grid([above, below])
    style = read_rgb(style_image)
    style.thumbnail(max(images, key=lambda image: image.height).size)
    blank = np.full((1, 1, 3), 255, np.uint8)
    return _grid([[np.array(style), *above], [blank, *below]])


def in_styles(nets: Sequence[nn.Module], images: list[Image.Image], device: torch.device) -> Image.Image:
    """Return content images above a row of outputs for each network."""
    rows = [[apply(net, np.array(image), device) for image in images] for net in nets]
    return _grid([[np.array(image) for image in images], *rows])


def enlarged(
    net: nn.Module, images: list[Image.Image], factor: int, blur_sigma: float, device: torch.device
) -> Image.Image:
    """Return rows of originals, bicubic and network outputs, for photographs reduced by `factor`."""
    rows: list[list[Picture]] = [[], [], []]
    for image in images:
        truth = image.crop((0, 0, image.width // factor * factor, image.height // factor * factor))
        low = reduce(truth, factor, blur_sigma)
        rows[0].append(np.array(truth))
        rows[1].append(np.array(low.resize(truth.size, Image.Resampling.BICUBIC)))
        rows[2].append(apply(net, np.array(low), device))
    return _grid(rows)


@torch.inference_mode()
def apply(net: nn.Module, picture: Picture, device: torch.device) -> Picture:
    """Run one picture, uint8 (H, W, 3), through a network in float32. Its training mode is restored."""
    training = net.training
    try:
        return from_network(net.eval()(to_network([picture], device)))[0]
    finally:
        net.train(training)


def _grid(rows: list[list[Picture]]) -> Image.Image:
    widths = [max(row[i].shape[1] for row in rows) for i in range(len(rows[0]))]
    heights = [max(picture.shape[0] for picture in row) for row in rows]
    sheet = Image.new("RGB", (sum(widths), sum(heights)), "white")
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            sheet.paste(Image.fromarray(picture), (sum(widths[:x]), sum(heights[:y])))
    return sheet
