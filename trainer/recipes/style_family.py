"""Train a family: one trunk, and for each painting the scales and shifts of a style (Dumoulin et al. 2017)."""

import copy
import hashlib
import math
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nets.style_trunk import (
    StyleTrunkConfig,
    StyleTrunkNet,
    average_style,
    style_parameters,
    trunk_parameters,
    with_style,
)
from trainer.config import FamilyRecipe
from trainer.data import ContentCrops, Photographs, batches, digest_of, list_photographs, read_painting, to_floats
from trainer.errors import TrainerError
from trainer.loop import samples
from trainer.loop.distributed import ONE_PROCESS
from trainer.loop.optimisation import Optimisation
from trainer.loop.precision import choose_precision
from trainer.loop.progress import Progress
from trainer.loop.runs import Run, git_revision
from trainer.objective import losses
from trainer.objective.loss_network import LossNetwork
from trainer.objective.style_objective import Content, Scale, StyleObjective
from trainer.publish import publish_family, training_facts

_SAMPLES, _SAMPLE_PX = 3, 384
_NEUTRAL_WEIGHT = 10.0
_BLOCK = 16  # iterations whose crops, and their content features, are kept to be used again


@dataclass(frozen=True)
class Inputs:
    """The inputs of a family's training: folders of photographs, a painting by style name, the loss network.

    parent: networks to start from, by style name; a style without one starts as the average of the others.
    workers: processes that decode photographs ahead.
    """

    photographs: list[Path]
    style_images: Mapping[str, Path]
    loss_network: LossNetwork
    parent: Mapping[str, StyleTrunkNet]
    workers: int = 0


class StyleFamily(nn.Module):
    """Networks by style name, over the same convolutions."""

    def __init__(self, nets: Mapping[str, StyleTrunkNet]) -> None:
        super().__init__()
        self.nets = nn.ModuleDict(dict(nets))

    def __getitem__(self, name: str) -> StyleTrunkNet:
        net = self.nets[name]
        assert isinstance(net, StyleTrunkNet)
        return net

    @property
    def trunk(self) -> dict[str, nn.Parameter]:
        """The parameters that all styles share."""
        return trunk_parameters(self[next(iter(self.nets))])

    @property
    def styles(self) -> list[nn.Parameter]:
        """The parameters that the styles own, of all of them."""
        return [value for name in self.nets for value in style_parameters(self[name]).values()]


def train(recipe: FamilyRecipe, inputs: Inputs, run: Run, seconds: float = math.inf) -> list[Path]:
    """Train to `recipe.iterations` or for `seconds`, from wherever `run` stands; return the published files.

    Whatever ends it, the state is saved and the same call goes on from it.
    """
    deadline = time.monotonic() + seconds
    torch.manual_seed(recipe.seed)
    device = ONE_PROCESS.device
    precision = choose_precision(recipe.precision, device)
    photographs = list_photographs(inputs.photographs)
    settings = recipe.model_dump() | {
        "style_images": {name: digest_of_file(path) for name, path in inputs.style_images.items()},
        "photographs": digest_of(photographs),
        "loss_network": f"vgg16@sha256:{inputs.loss_network.digest}",
    }
    state = run.begin(settings)
    revision = git_revision()
    family = _family(recipe, inputs.parent).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    groups = [
        {"params": list(family.trunk.values()), "factor": 1.0},
        {"params": family.styles, "factor": recipe.style_rate},
    ]
    optimisation = Optimisation(family, recipe.optimiser, recipe.iterations, state, groups)
    step = _Step(recipe, family, _objectives(recipe, inputs, precision, device), precision, device)
    shown = samples.choose(photographs, _SAMPLES, _SAMPLE_PX)
    family.train()
    with Progress(run, ONE_PROCESS, recipe.name, optimisation.first, recipe.iterations) as progress:
        first = optimisation.first
        progress.introduce(device, precision, len(photographs), recipe.parent or None)
        crops = _crops(recipe, inputs, photographs, run, first, device)
        for iteration, pictures in enumerate(crops, start=first):
            terms = step(iteration, to_floats(pictures, device))
            gradient = optimisation.descend(iteration)
            done = iteration + 1
            progress.note(done, terms, gradient)
            if progress.sample_due(done, recipe.sample_every):
                painters = [_result(optimisation)[style.name] for style in recipe.styles]
                samples.in_styles(painters, shown, device).save(run.samples / f"{done:06d}.jpg", quality=92)
            over = time.monotonic() >= deadline
            if over or progress.save_due(done, recipe.save_every):
                run.save({"recipe": settings, **optimisation.state(done)})
            if over:
                break

    result = _result(optimisation)
    facts = training_facts(recipe, settings, run, len(photographs), precision, revision)
    nets = {style.name: result[style.name] for style in recipe.styles}
    return publish_family(run, recipe, nets, facts, settings["style_images"])


class _Step:
    """One iteration's gradients. Styles take turns; on a CPU those of one iteration are computed side by side.

    Side by side, each in a thread of its own: a picture then waits for no other at every layer, which on a busy machine
    is what the threads of one convolution do.
    """

    def __init__(
        self,
        recipe: FamilyRecipe,
        family: StyleFamily,
        objectives: Mapping[str, StyleObjective],
        precision: str,
        device: torch.device,
    ) -> None:
        self._recipe, self._family, self._objectives = recipe, family, objectives
        self._precision, self._device = precision, device
        self._names = [style.name for style in recipe.styles]
        self._map = _side_by_side(recipe.styles_per_iteration, device)
        self._contents: dict[tuple[int, int], Content] = {}

    def __call__(self, iteration: int, pictures: Tensor) -> dict[str, Tensor]:
        """Put the gradients into the parameters; return the terms of the objective, averaged over the styles."""
        count = self._recipe.styles_per_iteration
        if iteration % (_BLOCK * self._recipe.data.passes) == 0:
            self._contents.clear()
        work = list(zip(self._turn(iteration), pictures.chunk(count), range(count), strict=True))
        self._family.zero_grad(set_to_none=True)
        every: list[dict[str, Tensor]] = []
        results = self._map(lambda task: self._gradients(iteration, *task), work)
        for (name, *_), (terms, gradients) in zip(work, results, strict=True):
            _refuse_not_finite(name, iteration, terms)
            for parameter, gradient in zip(self._parameters(name), gradients, strict=True):
                share = gradient / count
                parameter.grad = share if parameter.grad is None else parameter.grad + share
            every.append(terms)
        named = {term for terms in every for term in terms}
        return {term: torch.stack([terms[term] for terms in every if term in terms]).mean() for term in sorted(named)}

    def _turn(self, iteration: int) -> list[str]:
        """The styles of an iteration. Each pass over a block of crops starts one style on."""
        count = self._recipe.styles_per_iteration
        first = iteration * count + iteration // _BLOCK
        return [self._names[(first + i) % len(self._names)] for i in range(count)]

    def _parameters(self, name: str) -> list[nn.Parameter]:
        return [*self._family.trunk.values(), *style_parameters(self._family[name]).values()]

    def _gradients(
        self, iteration: int, name: str, picture: Tensor, place: int
    ) -> tuple[dict[str, Tensor], tuple[Tensor, ...]]:
        """Compute the terms of one style on its part of the pictures, and the gradients of their sum."""
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._precision == "bf16"):
            output = self._family[name](picture)
        objective = self._objectives.get(name)
        if objective is None or iteration < self._recipe.neutral_iterations:
            terms = {"pixel": _NEUTRAL_WEIGHT * losses.pixel(output, picture)}
        else:
            terms = objective.terms(output, self._content(objective, iteration, picture, place))
        total = torch.stack(list(terms.values())).sum()
        return {key: value.detach() for key, value in terms.items()}, torch.autograd.grad(total, self._parameters(name))

    def _content(self, objective: StyleObjective, iteration: int, picture: Tensor, place: int) -> Content:
        """Compute the content of a part of an iteration's pictures, or take what an earlier pass over them computed.

        It is the same for every style.
        """
        source = crops_of(iteration, self._recipe.data.passes)
        found = self._contents.get((source, place))
        if found is None:
            found = self._contents[source, place] = objective.content(picture, self._scales(source))
        return found

    def _scales(self, source: int) -> tuple[Scale, ...] | None:
        """The scales at which crops are compared, drawn by the iteration that first uses them; None for all."""
        share = self._recipe.loss.full_scale_share
        if share == 1 or not self._recipe.loss.half_layers:
            return None
        draw = np.random.default_rng((self._recipe.seed, source)).random()
        return ("full",) if draw < share else ("half",)


def crops_of(iteration: int, passes: int) -> int:
    """Return the number of the iteration that first uses the crops of `iteration`, in blocks used `passes` times."""
    block, place = divmod(iteration, _BLOCK * passes)
    return block * _BLOCK + place % _BLOCK


def _side_by_side(count: int, device: torch.device) -> Callable[..., Iterable[Any]]:
    """Return a `map` that runs `count` functions at a time on a CPU, each with its share of the threads."""
    threads = torch.get_num_threads()
    if device.type != "cpu" or count == 1 or threads == 1:
        return map
    return ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(max(1, threads // count),)).map


def _refuse_not_finite(name: str, iteration: int, terms: Mapping[str, Tensor]) -> None:
    for term, value in terms.items():
        if not bool(torch.isfinite(value)):
            raise TrainerError(
                f"style {name}: {term} is {value.item()} at iteration {iteration}: "
                "the last saved state is kept; lower optimiser.learning_rate"
            )


def _crops(
    recipe: FamilyRecipe, inputs: Inputs, photographs: list[Path], run: Run, first: int, device: torch.device
) -> Iterable[Tensor]:
    """The crops of the iterations from `first` on: uint8 (styles_per_iteration * batch, 3, crop, crop) each."""
    data, size = recipe.data, recipe.styles_per_iteration * recipe.data.batch
    sources = [crops_of(iteration, data.passes) for iteration in range(first, recipe.iterations)]
    order = [source * size + i for source in sources for i in range(size)]
    examples = recipe.iterations * size
    crops = ContentCrops(Photographs(photographs, run.skipped), data.crop_px, data.max_scale, recipe.seed, examples)
    return batches(crops, order, size, inputs.workers, device)


def _family(recipe: FamilyRecipe, parent: Mapping[str, StyleTrunkNet]) -> StyleFamily:
    config = StyleTrunkConfig(**recipe.network.model_dump())
    for name, net in parent.items():
        if net.config != config:
            raise TrainerError(f"parent style {name} is {net.config}, the recipe's network is {config}")
    # A copy, because the tensors of a loaded trunk are shared by all that load it.
    known = list(parent.values())
    first = copy.deepcopy(average_style(known)) if known else StyleTrunkNet(config)
    return StyleFamily({s.name: with_style(first, parent.get(s.name, first)) for s in recipe.styles})


def _objectives(
    recipe: FamilyRecipe, inputs: Inputs, precision: str, device: torch.device
) -> dict[str, StyleObjective]:
    """The objective of each style that has a painting, by name; its Gram matrices are computed in float32."""
    network = inputs.loss_network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    objectives = {}
    for style in recipe.styles:
        if style.name not in inputs.style_images:
            continue
        image = read_painting(inputs.style_images[style.name], style.style_px).to(device)
        objectives[style.name] = StyleObjective(network, style.weigh(recipe.loss), image)
    if precision == "bf16":
        network.features.bfloat16()
    return objectives


def _result(optimisation: Optimisation) -> StyleFamily:
    family = optimisation.result()
    assert isinstance(family, StyleFamily)
    return family


def digest_of_file(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
