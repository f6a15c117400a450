"""Fit a new painting to a trunk: only the scales and shifts are trained, for minutes (Dumoulin et al. 2017, 3.2)."""

import copy
import io
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from nets.files import replace_file
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
_SAVE_SECONDS = 10.0


@dataclass(frozen=True)
class Fit:
    """The settings of a fit.

    seconds: how long it may train. photographs: folders of content images; none for those that are bundled.
    state: a file for the state, saved every ten seconds, from which a fit that was stopped goes on; None for none.
    """

    loss: StyleLoss
    seconds: float
    photographs: list[Path]
    state: Path | None = None
    seed: int = 0


@dataclass(frozen=True)
class FitProgress:
    """How far a fit is: its share in [0, 1], the objective of the last iteration, and the network so far."""

    share: float
    objective: float
    net: StyleTrunkNet


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
    say: Callable[[FitProgress], None] | None = None,
) -> Fitted:
    """Train the scales and shifts of a new style for `settings.seconds`.

    styles: the trunk's styles by name; the one whose pictures are nearest to the painting is where training starts.
    say: called after each iteration.
    """
    torch.manual_seed(settings.seed)
    objective = StyleObjective(loss_network, style.weigh(settings.loss), read_painting(painting, style.style_px))
    fitting = _Fitting(styles, objective, settings)
    for content in _crops(settings, len(fitting.totals)):
        if fitting.share == 1.0 and fitting.totals:
            break
        fitting.step(content)
        if say is not None:
            say(FitProgress(fitting.share, fitting.totals[-1], fitting.net))
    totals = fitting.totals
    tenth = max(1, len(totals) // 10)
    first, last = (sum(part) / tenth for part in (totals[:tenth], totals[-tenth:]))
    return Fitted(fitting.net.eval(), fitting.start, len(totals), first, last)


class _Fitting:
    """The network of a fit with its optimiser, its clock and its state on disk. totals: the objective by iteration."""

    def __init__(self, styles: Mapping[str, StyleTrunkNet], objective: StyleObjective, settings: Fit) -> None:
        self._objective, self._settings = objective, settings
        state = self._read_state()
        self.start: str = state["start"] if state else nearest(styles, objective, next(_crops(settings, 0)))
        self.totals: list[float] = state["totals"] if state else []
        self.net = with_new_style(copy.deepcopy(styles[self.start])).train()
        self._parameters = style_parameters(self.net)
        for parameter in self.net.parameters():
            parameter.requires_grad_(False)
        for name, parameter in self._parameters.items():
            if state:
                parameter.copy_(state["style"][name])
            parameter.requires_grad_(True)
        self._adam = torch.optim.Adam(self._parameters.values(), lr=_LEARNING_RATE)
        if state:
            self._adam.load_state_dict(state["adam"])
        self.seconds: float = state["seconds"] if state else 0.0
        self._clock, self._saved = _clocks(), time.monotonic()

    @property
    def share(self) -> float:
        """The share of its time that has passed, in [0, 1]."""
        return min(1.0, self.seconds / self._settings.seconds)

    def step(self, content: Tensor) -> None:
        """Take one step for one content image. Raises TrainerError if the objective is not finite."""
        for group in self._adam.param_groups:
            cosine = 0.5 * (1 + math.cos(math.pi * self.share))
            group["lr"] = _LEARNING_RATE * (_LAST_RATE + (1 - _LAST_RATE) * cosine)
        kept = self._objective.content(content, _scale(self._settings.loss, len(self.totals)))
        total = torch.stack(list(self._objective.terms(self.net(content), kept).values())).sum()
        if not bool(torch.isfinite(total)):
            raise TrainerError(f"the objective is {total.item()} after {len(self.totals)} iterations: nothing was kept")
        self._adam.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._parameters.values(), _CLIP_NORM)
        self._adam.step()
        self.totals.append(total.item())
        self._count_time()
        if self._settings.state is not None and time.monotonic() - self._saved > _SAVE_SECONDS:
            self._save_state(self._settings.state)
            self._saved = time.monotonic()

    def _count_time(self) -> None:
        """Add the time since the last call, without pauses: a stopped process uses no CPU."""
        before, self._clock = self._clock, _clocks()
        wall, cpu = (now - then for now, then in zip(self._clock, before, strict=True))
        self.seconds += min(wall, 2 * cpu)

    def _save_state(self, path: Path) -> None:
        state = {
            "objective": self._objective.identity,
            "start": self.start,
            "totals": self.totals,
            "style": {name: value.detach() for name, value in self._parameters.items()},
            "adam": self._adam.state_dict(),
            "seconds": self.seconds,
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        replace_file(path, buffer.getvalue())

    def _read_state(self) -> dict[str, Any] | None:
        """The state of an earlier fit of the same painting with the same loss; None without one."""
        path = self._settings.state
        if path is None or not path.exists():
            return None
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return state if state["objective"] == self._objective.identity else None


def _clocks() -> tuple[float, float]:
    return time.monotonic(), time.process_time()


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


def _crops(settings: Fit, first: int) -> Iterator[Tensor]:
    """Content images without an end, from number `first` on: float (1, 3, crop, crop) each."""
    dataset: Dataset[Tensor]
    if settings.photographs:
        photographs = Photographs(list_photographs(settings.photographs))
        dataset = ContentCrops(photographs, CROP_PX, _MAX_SCALE, settings.seed, _EXAMPLES)
    else:
        dataset = VariedCrops(bundled_pictures(), CROP_PX, settings.seed, _EXAMPLES)
    for index in range(first, _EXAMPLES):
        yield to_floats(dataset[index][None], torch.device("cpu"))
