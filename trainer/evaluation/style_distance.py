"""Distances of an output to the painting and to the photograph, layer by layer.

In the objective, the shallow layers outweigh the deep ones. These measures show each layer.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from statistics import mean
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.config import LayerName
from trainer.objective.loss_network import LossNetwork
from trainer.objective.losses import gram, relative_style_reconstruction

STYLE_LAYERS: tuple[LayerName, ...] = ("relu1_2", "relu2_2", "relu3_3", "relu4_2", "relu4_3", "relu5_1")
CONTENT_LAYERS: tuple[LayerName, ...] = ("relu2_2", "relu4_2")
STYLE_PX = 512
"""Short side of the painting that pictures are compared with."""

_LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class StyleDistance:
    """The measures of one picture, or their means.

    style: |G(y) - G(s)|^2 / |G(s)|^2 of the Gram matrices of picture and painting, by layer; 0 is the painting's own.
    content: squared distance of the features of picture and photograph over the variance of the photograph's, by layer.
    contrast: standard deviation of luminance, picture over photograph.
    grid2, grid4: 1 for no grid with a period of 2 or 4 pixels; see `grid`.
    """

    image: str
    style: dict[LayerName, float]
    content: dict[LayerName, float]
    contrast: float
    grid2: float
    grid4: float


class StyleMeter:
    """Measures outputs against one painting, float (1, 3, H, W) in [0, 1]. Its Gram matrices are computed once."""

    def __init__(self, loss_network: LossNetwork, painting: Tensor) -> None:
        self._network = loss_network
        with torch.no_grad():
            features = loss_network(painting, list(STYLE_LAYERS))
        self._grams = {layer: gram(features[layer]) for layer in STYLE_LAYERS}

    @torch.no_grad()
    def measure(self, image: str, picture: Tensor, photograph: Tensor) -> StyleDistance:
        """Measure a picture of a photograph, both float (1, 3, H, W) in [0, 1]."""
        painted: Mapping[LayerName, Tensor] = self._network(picture, list(STYLE_LAYERS))
        original: Mapping[LayerName, Tensor] = self._network(photograph, list(CONTENT_LAYERS))
        return StyleDistance(
            image,
            {
                layer: relative_style_reconstruction(gram(painted[layer]), self._grams[layer]).item()
                for layer in STYLE_LAYERS
            },
            {layer: _relative_content(painted[layer], original[layer]) for layer in CONTENT_LAYERS},
            (luminance(picture).std() / luminance(photograph).std()).item(),
            grid(picture, 2),
            grid(picture, 4),
        )


def measure_style(
    paint: Callable[[Tensor], Tensor], meter: StyleMeter, photographs: Sequence[tuple[str, Tensor]]
) -> list[StyleDistance]:
    """Measure what `paint` makes of each photograph, by name, colours cut off at [0, 1]; the last entry is the mean."""
    found = [meter.measure(name, paint(photograph).clamp(0.0, 1.0), photograph) for name, photograph in photographs]
    return [*found, mean_of(found)]


def mean_of(distances: Sequence[StyleDistance]) -> StyleDistance:
    """Average every measure over pictures."""
    values: dict[str, Any] = {}
    for field in fields(StyleDistance):
        column = [getattr(distance, field.name) for distance in distances]
        if field.name == "image":
            values[field.name] = "mean"
        elif isinstance(column[0], dict):
            values[field.name] = {layer: mean(entry[layer] for entry in column) for layer in column[0]}
        else:
            values[field.name] = mean(column)
    return StyleDistance(**values)


def luminance(pictures: Tensor) -> Tensor:
    """Luminance of RGB (Rec. 601): (N, 3, H, W) -> (N, H, W)."""
    weights = torch.tensor(_LUMA, device=pictures.device)[:, None, None]
    return (pictures * weights).sum(dim=1)


def grid(pictures: Tensor, period: int) -> float:
    """Measure how much sharpness depends on the place within cells of `period` x `period` pixels.

    The mean absolute Laplacian of the luminance at each place of a cell, the largest over the smallest: 1 for a picture
    without a grid of that period. pictures: float (N, 3, H, W).
    """
    y = luminance(pictures)
    laplacian = 4 * y[:, 1:-1, 1:-1] - y[:, :-2, 1:-1] - y[:, 2:, 1:-1] - y[:, 1:-1, :-2] - y[:, 1:-1, 2:]
    height, width = (side // period * period for side in laplacian.shape[-2:])
    cells = F.pixel_unshuffle(laplacian[:, None, :height, :width].abs(), period)
    means = cells.mean(dim=(0, 2, 3))
    return (means.max() / means.min()).item()


def _relative_content(painted: Tensor, original: Tensor) -> float:
    return (F.mse_loss(painted, original) / original.var(correction=0)).item()
