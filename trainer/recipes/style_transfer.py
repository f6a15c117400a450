"""Train one style: photographs in, a network that paints them like the style image out (Johnson et al. 2016, 3.1)."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nets.checkpoint import load
from nets.style_transfer import StyleTransferConfig, StyleTransferNet
from trainer.config import StyleRecipe
from trainer.data import ContentCrops, Photographs, batches, digest_of, list_photographs, read_style_image, to_floats
from trainer.errors import TrainerError
from trainer.loop import samples
from trainer.loop.distributed import ONE_PROCESS, Processes
from trainer.loop.net2net import widen
from trainer.loop.optimisation import Optimisation
from trainer.loop.precision import choose_precision
from trainer.loop.progress import Progress
from trainer.loop.runs import Run, git_revision
from trainer.objective import losses
from trainer.objective.activation_penalty import SpikeWatch
from trainer.objective.loss_network import LossNetwork
from trainer.objective.style_objective import StyleObjective
from trainer.publish import publish_run, training_facts

_SAMPLES, _SAMPLE_PX = 4, 384
_NEUTRAL_WEIGHT = 100.0  # as large as the terms that follow, or Adam's first steps among them would be a blow


@dataclass(frozen=True)
class Inputs:
    """What a recipe is run on: folders of photographs, the processes that share the work, workers that decode for each.

    style_image, loss_network: None for a recipe that is neutral to its end.
    """

    photographs: list[Path]
    style_image: Path | None
    loss_network: LossNetwork | None
    processes: Processes = ONE_PROCESS
    workers: int = 0


def train(recipe: StyleRecipe, inputs: Inputs, run: Run) -> Path:
    """Train to `recipe.iterations`, from wherever `run` stands; returns the published checkpoint's path."""
    torch.manual_seed(recipe.seed)
    processes, device = inputs.processes, inputs.processes.device
    precision = processes.first(lambda: choose_precision(recipe.precision, device))
    style_digest = hashlib.sha256(inputs.style_image.read_bytes()).hexdigest() if inputs.style_image else ""
    net, parent = _network(recipe)
    photographs = list_photographs(inputs.photographs)
    settings = _settings(recipe, inputs, photographs, style_digest, parent)
    state = processes.first(lambda: run.begin(settings))
    revision = git_revision()

    net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimisation = Optimisation(net, recipe.optimiser, recipe.iterations, state)
    first = optimisation.first
    spikes = SpikeWatch(net)  # after the optimisation has made its copy for the average
    parallel = processes.parallel(net)

    objective = _objective(recipe, inputs, precision)
    shown = samples.choose(photographs, _SAMPLES, _SAMPLE_PX)

    def sample(done: int) -> None:
        sheet = samples.stylised(optimisation.result(), shown, device, inputs.style_image)
        sheet.save(run.samples / f"{done:06d}.jpg", quality=92)

    net.train()
    with Progress(run, processes, recipe.name, first, recipe.iterations) as progress:
        progress.introduce(device, precision, len(photographs), parent)
        if processes.main and not first:
            sample(0)
        for iteration, pictures in enumerate(_crops(recipe, inputs, run, photographs, first), start=first):
            content = to_floats(pictures, device)
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
                output = parallel(content)
            terms = _terms(objective if iteration >= recipe.neutral_iterations else None, output, content)
            terms["spikes"] = recipe.loss.spike_weight * spikes.take(len(content))
            gradient = optimisation.step(sum(terms.values(), start=torch.zeros((), device=device)), iteration)

            done = iteration + 1
            progress.note(done, terms, gradient)
            if processes.main and progress.sample_due(done, recipe.sample_every):
                sample(done)
            if processes.main and progress.save_due(done, recipe.save_every):
                run.save({"recipe": settings, **optimisation.state(done)})

    training = training_facts(recipe, settings, run, len(photographs), precision, revision)
    if style_digest:
        training["style_image_sha256"] = style_digest
    return processes.first(lambda: publish_run(run, optimisation.result(), recipe, parent, training))


def _settings(
    recipe: StyleRecipe, inputs: Inputs, photographs: list[Path], style_digest: str, parent: str | None
) -> dict[str, Any]:
    """The recipe with the digests of what it is run on: a run with other settings is another run."""
    return recipe.model_dump() | {
        "style_image": style_digest,
        "parent": parent or "",
        "photographs": digest_of(photographs),
        "loss_network": f"vgg16@sha256:{inputs.loss_network.digest}" if inputs.loss_network else None,
    }


def _crops(recipe: StyleRecipe, inputs: Inputs, run: Run, photographs: list[Path], first: int) -> Iterable[Tensor]:
    """This process's share of the crops of the iterations from `first` on, uint8 (N, 3, crop, crop)."""
    data, processes = recipe.data, inputs.processes
    crops = ContentCrops(
        Photographs(photographs, run.skipped), data.crop_px, data.max_scale, recipe.seed, recipe.iterations * data.batch
    )
    order = processes.order(data.batch, first, recipe.iterations)
    return batches(crops, order, data.batch // processes.size, inputs.workers, processes.device)


def _terms(objective: StyleObjective | None, output: Tensor, content: Tensor) -> dict[str, Tensor]:
    """The terms of an objective; None: those of a network that returns the photograph."""
    if objective is None:
        return {"pixel": _NEUTRAL_WEIGHT * losses.pixel(output, content)}
    return objective.terms(output, objective.content(content))


def _objective(recipe: StyleRecipe, inputs: Inputs, precision: str) -> StyleObjective | None:
    """What to train for; the style's Gram matrices are made in float32, whatever follows."""
    if inputs.style_image is None or inputs.loss_network is None:
        return None
    device = inputs.processes.device
    loss_network = inputs.loss_network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    style_image = read_style_image(inputs.style_image, recipe.data.style_px).to(device)
    objective = StyleObjective(loss_network, recipe.loss, style_image)
    if precision == "bf16":
        loss_network.features.bfloat16()
    return objective


def _network(recipe: StyleRecipe) -> tuple[StyleTransferNet, str | None]:
    """A fresh network, or the parent's weights to start from (widened where it is half as wide), and its version."""
    config = StyleTransferConfig(**recipe.network.model_dump())
    if not recipe.parent:
        return StyleTransferNet(config), None
    parent = load(Path(recipe.parent))
    net = parent.net
    if isinstance(net, StyleTransferNet):
        if replace(net.config, width=2 * net.config.width) == config:
            net = widen(net, recipe.seed)
        if net.config == config:
            return net, parent.version
    raise TrainerError(f"parent {recipe.parent} is {parent.config}, the recipe's network is {config}")
