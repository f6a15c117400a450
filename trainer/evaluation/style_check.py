"""Checks of a fitted style before it is published."""

from collections.abc import Mapping
from statistics import mean

import numpy as np
from PIL import Image
from torch import Tensor

from nets.pixels import to_network
from nets.style_trunk import StyleTrunkNet, average_style
from trainer.config import LayerName
from trainer.content import bundled_pictures
from trainer.data import read_rgb
from trainer.errors import TrainerError
from trainer.evaluation.style_distance import StyleDistance, StyleMeter, luminance, measure_style
from trainer.objective.loss_network import LossNetwork

_NAMES = ("chelsea", "coffee", "rocket")
_SIDE_PX = 320
_DEEP_LAYERS: tuple[LayerName, ...] = ("relu3_3", "relu4_2")
_LEAST_DEVIATION = 0.02
_LEAST_CONTRAST = 0.4
_MOST_GRID = 1.35


def refuse_flat(painting: Tensor) -> None:
    """Raise TrainerError for a painting, float (1, 3, H, W), of nearly one colour: it has no style to learn."""
    if painting.std(dim=(2, 3)).max() < _LEAST_DEVIATION:
        raise TrainerError("the painting is nearly one colour: there is no style to learn from it")


def check_style(
    net: StyleTrunkNet, styles: Mapping[str, StyleTrunkNet], painting: Tensor, loss_network: LossNetwork
) -> StyleDistance:
    """Measure a fitted style on bundled photographs, and return the mean.

    styles: the earlier styles of the trunk. Raises TrainerError if the outputs are no nearer to the painting than those
    of the average style, have lost the light of the photographs, or show a grid.
    """
    photographs = _photographs()
    meter = StyleMeter(loss_network, painting)
    average = average_style(list(styles.values()))
    found, start = (measure_style(one.eval(), meter, photographs)[-1] for one in (net, average))
    refuse_faults(found, start, _contrast(painting) / mean(_contrast(image) for _, image in photographs))
    return found


def refuse_faults(found: StyleDistance, start: StyleDistance, contrast: float) -> None:
    """Raise TrainerError if a style with the measures `found` must not be published.

    start: the measures of the average style. contrast: that of the painting over that of the photographs.
    """
    distance, least = (mean(one.style[layer] for layer in _DEEP_LAYERS) for one in (found, start))
    if distance >= least:
        raise TrainerError(
            f"the style is no nearer to the painting than the average style ({distance:.3f}, {least:.3f}): "
            "give it more minutes, or choose a painting with larger shapes"
        )
    least_contrast = _LEAST_CONTRAST * min(1.0, contrast)
    if found.contrast < least_contrast:
        raise TrainerError(
            f"the style loses the light of photographs (contrast {found.contrast:.2f}, expected at least "
            f"{least_contrast:.2f}): give it more minutes"
        )
    if max(found.grid2, found.grid4) > _MOST_GRID:
        raise TrainerError(f"the style shows a grid ({found.grid2:.2f}, {found.grid4:.2f}): give it more minutes")


def _photographs() -> list[tuple[str, Tensor]]:
    photographs = []
    for path in bundled_pictures():
        if path.stem in _NAMES:
            image = read_rgb(path)
            image.thumbnail((_SIDE_PX, _SIDE_PX), Image.Resampling.LANCZOS)
            photographs.append((path.stem, to_network([np.array(image)])))
    return photographs


def _contrast(pictures: Tensor) -> float:
    return luminance(pictures).std().item()
