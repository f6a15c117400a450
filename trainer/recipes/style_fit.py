"""Fit a new painting to a trunk: only the scales and shifts are trained, for minutes (Dumoulin et al. 2017, 3.2)."""

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from nets.style_trunk import StyleTrunkNet, style_parameters, with_new_style
from trainer.config import FamilyStyle, StyleLoss
from trainer.content import VariedCrops, bundled_pictures
from trainer.data import ContentCrops, Photographs, list_photographs, read_painting, to_floats
from trainer.errors import TrainerError
from trainer.objective.loss_network import LossNetwork
from trainer.objective.style_objective import Scale, StyleObjective

CROP_PX = 256
_MAX_SCALE = 1.6
_EXAMPLES = 1_000_000
_LEARNING_RATE = 2e-2
_LAST_RATE = 0.05
_CLIP_NORM = 5.0


@dataclass(frozen=True)
class Fit:
    """The settings of a fit.

    seconds: how long it may train. photographs: folders of content images; none for those that are bundled.
    """

    loss: StyleLoss
    seconds: float
    photographs: list[Path]
    seed: int = 0


@dataclass(frozen=True)
class Fitted:
    """The result of a fit: the network, the style that it started from, and how the objective fell.

    first, last: the objective, averaged over the first and the last tenth of the iterations.
    """

    net: StyleTrunkNet
    start: str
    iterations: int
    first: float
    last: float


def fit(
    styles: Mapping[str, StyleTrunkNet],
    loss_network: LossNetwork,
    style: FamilyStyle,
    painting: Path,
    settings: Fit,
    say: Callable[[float, float], None] | None = None,
) -> Fitted:
    """Train the scales and shifts of a new style for `settings.seconds`.

    styles: the trunk's styles by name; the one whose pictures are nearest to the painting is where training starts.
    say: called after each iteration with the share that is done, in [0, 1], and the objective.
    """
    torch.manual_seed(settings.seed)
    objective = StyleObjective(loss_network, style.weigh(settings.loss), read_painting(painting, style.style_px))
    crops = _crops(settings)
    start = nearest(styles, objective, next(crops))
    net = with_new_style(copy.deepcopy(styles[start])).train()
    parameters = list(style_parameters(net).values())
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    for parameter in parameters:
        parameter.requires_grad_(True)
    adam = torch.optim.Adam(parameters, lr=_LEARNING_RATE)
    began = time.monotonic()
    totals: list[float] = []
    for iteration, content in enumerate(crops):
        done = min(1.0, (time.monotonic() - began) / settings.seconds)
        if done == 1.0 and totals:
            break
        for group in adam.param_groups:
            group["lr"] = _LEARNING_RATE * (_LAST_RATE + (1 - _LAST_RATE) * 0.5 * (1 + math.cos(math.pi * done)))
        scale = _scale(settings.loss, iteration)
        total = torch.stack(list(objective.terms(net(content), objective.content(content, scale)).values())).sum()
        if not bool(torch.isfinite(total)):
            raise TrainerError(f"the objective is {total.item()} after {iteration} iterations: nothing was fitted")
        adam.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, _CLIP_NORM)
        adam.step()
        totals.append(total.item())
        if say is not None:
            say(done, totals[-1])
    tenth = max(1, len(totals) // 10)
    first, last = (sum(part) / tenth for part in (totals[:tenth], totals[-tenth:]))
    return Fitted(net.eval(), start, len(totals), first, last)


@torch.no_grad()
def nearest(styles: Mapping[str, StyleTrunkNet], objective: StyleObjective, content: Tensor) -> str:
    """Return the name of the style whose picture of `content`, float (1, 3, H, W), has the least style term."""
    kept = objective.content(content)
    distances = {name: objective.terms(net.eval()(content), kept)["style"].item() for name, net in styles.items()}
    return min(distances, key=lambda name: distances[name])


def _scale(loss: StyleLoss, iteration: int) -> tuple[Scale, ...] | None:
    """The scale that an iteration compares at: in turn, by the recipe's share; None for all."""
    share = loss.full_scale_share
    if share == 1 or not loss.half_layers:
        return None
    turned = math.floor((iteration + 1) * share) > math.floor(iteration * share)
    return ("full",) if turned else ("half",)


def _crops(settings: Fit) -> Iterator[Tensor]:
    """Content images without an end: float (1, 3, crop, crop) each."""
    dataset: Dataset[Tensor]
    if settings.photographs:
        photographs = Photographs(list_photographs(settings.photographs))
        dataset = ContentCrops(photographs, CROP_PX, _MAX_SCALE, settings.seed, _EXAMPLES)
    else:
        dataset = VariedCrops(bundled_pictures(), CROP_PX, settings.seed, _EXAMPLES)
    for index in range(_EXAMPLES):
        yield to_floats(dataset[index][None], torch.device("cpu"))
