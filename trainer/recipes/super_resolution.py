"""Train one factor: photographs in, a network that enlarges out (Johnson et al. 2016, section 3.2 and 4.2)."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from nets.checkpoint import load
from nets.super_resolution import SuperResolutionConfig, SuperResolutionNet
from trainer.config import UpscaleData, UpscaleRecipe
from trainer.data import Photographs, ResolutionPairs, batches, digest_of, list_photographs, to_floats
from trainer.degradation import describe
from trainer.errors import TrainerError
from trainer.evaluation.metrics import mean_psnr
from trainer.loop import samples
from trainer.loop.distributed import ONE_PROCESS, Processes
from trainer.loop.optimisation import Optimisation
from trainer.loop.precision import choose_precision
from trainer.loop.progress import Progress
from trainer.loop.runs import Run, git_revision
from trainer.objective.upscale_objective import UpscaleObjective
from trainer.publish import publish_run, training_facts

_SAMPLES, _SAMPLE_PX = 3, 320


@dataclass(frozen=True)
class Inputs:
    """What a recipe is run on: folders of photographs, VGG16's weights where the loss needs them, the processes.

    validation: images that are never trained on; their mean PSNR is logged with every sample.
    """

    photographs: list[Path]
    vgg16: Mapping[str, Tensor] | None
    processes: Processes = ONE_PROCESS
    workers: int = 0
    validation: Path | None = None


def train(recipe: UpscaleRecipe, inputs: Inputs, run: Run) -> Path:
    """Train to `recipe.iterations`, from wherever `run` stands; returns the published checkpoint's path."""
    torch.manual_seed(recipe.seed)
    processes, device = inputs.processes, inputs.processes.device
    precision = processes.first(lambda: choose_precision(recipe.precision, device))
    net, parent = _network(recipe)
    photographs = list_photographs(inputs.photographs)
    if recipe.loss.adversarial_weight and processes.size > 1:
        raise TrainerError("loss.adversarial_weight: the adversary learns in one process; expected 1 process")
    objective = UpscaleObjective(recipe.loss, recipe.network.factor, inputs.vgg16, device, precision)
    settings = recipe.model_dump() | {
        "parent": parent or "",
        "photographs": digest_of(photographs),
        "loss_network": objective.loss_network,
    }
    state = processes.first(lambda: run.begin(settings))
    revision = git_revision()

    net = net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimisation = Optimisation(net, recipe.optimiser, recipe.iterations, state)
    objective.restore(state)
    first = optimisation.first
    parallel = processes.parallel(net)

    shown = samples.choose(photographs, _SAMPLES, _SAMPLE_PX)
    data, factor = recipe.data, recipe.network.factor

    net.train()
    with Progress(run, processes, recipe.name, first, recipe.iterations) as progress:
        progress.introduce(device, precision, len(photographs), parent)
        for iteration, pair in enumerate(_pairs(recipe, inputs, run, photographs, first), start=first):
            low, high = (to_floats(pictures, device) for pictures in pair)
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
                output = parallel(low)
            terms = objective.terms(output, high, iteration)
            gradient = optimisation.step(sum(terms.values(), start=torch.zeros((), device=device)), iteration)

            done = iteration + 1
            progress.note(done, terms, gradient, objective.learn(output, high, iteration))
            if processes.main and progress.sample_due(done, recipe.sample_every):
                sheet = samples.enlarged(optimisation.result(), shown, factor, data.blur_sigma, device)
                sheet.save(run.samples / f"{done:06d}.png")
                if inputs.validation is not None:
                    enlarge = partial(samples.apply, optimisation.result(), device=device)
                    progress.log(done, psnr=round(mean_psnr(enlarge, inputs.validation, factor), 4))
            if processes.main and progress.save_due(done, recipe.save_every):
                run.save({"recipe": settings, **optimisation.state(done), **objective.state()})

    training = training_facts(recipe, settings, run, len(photographs), precision, revision)
    training["degradation"] = _degradation(data)
    return processes.first(lambda: publish_run(run, optimisation.result(), recipe, parent, training))


def _degradation(data: UpscaleData) -> str:
    """Describe for the card how the low resolution was made."""
    if data.degradations is not None:
        return describe(data.degradations)
    blur = f"Gaussian blur sigma {data.blur_sigma:g}, then " if data.blur_sigma else ""
    return f"{blur}antialiased bicubic"


def _pairs(
    recipe: UpscaleRecipe, inputs: Inputs, run: Run, photographs: list[Path], first: int
) -> Iterable[tuple[Tensor, Tensor]]:
    """This process's share of the pairs of the iterations from `first` on: see `ResolutionPairs`."""
    data, processes = recipe.data, inputs.processes
    pairs = ResolutionPairs(
        Photographs(photographs, run.skipped),
        data.low_res_px,
        recipe.network.factor,
        data.blur_sigma,
        data.augment,
        recipe.seed,
        recipe.iterations * data.batch,
        data.degradations,
    )
    order = processes.order(data.batch, first, recipe.iterations)
    return batches(pairs, order, data.batch // processes.size, inputs.workers, processes.device)


def _network(recipe: UpscaleRecipe) -> tuple[nn.Module, str | None]:
    """A fresh network, or the parent's weights to start from, with the parent's version.

    A parent of another factor gives its body. Its last convolution, whose shape depends on the factor, is repeated for
    a multiple of its factor and averaged for a divisor; else it starts afresh.
    """
    config = SuperResolutionConfig(**recipe.network.model_dump())
    net = SuperResolutionNet(config)
    if not recipe.parent:
        return net, None
    parent = load(Path(recipe.parent))
    if getattr(parent.config, "body", config.body) != config.body:
        raise TrainerError(f"parent {recipe.parent} is {parent.config}: expected body={config.body!r}")
    own, given = net.state_dict(), parent.net.state_dict()
    factor = getattr(parent.config, "factor", 0)
    if factor and max(factor, config.factor) % min(factor, config.factor) == 0:
        given = {name: resized(value, config.factor) if ".tail." in name else value for name, value in given.items()}
    fitting = {name: value for name, value in given.items() if name in own and value.shape == own[name].shape}
    if len(fitting) < len(own) // 2:
        raise TrainerError(f"parent {recipe.parent} is {parent.config}: too unlike the recipe's {config}")
    net.load_state_dict(own | fitting)
    return net, parent.version


def resized(tail: Tensor, factor: int) -> Tensor:
    """Fit the channels before a pixel shuffle to another factor: a multiple or a divisor of theirs, or the same.

    Each pixel becomes several equal ones, or several become their mean. Weight or bias, float (3 f f, ...) ->
    (3 factor factor, ...).
    """
    given = math.isqrt(len(tail) // 3)
    places = tail.reshape(3, given, given, *tail.shape[1:])
    if factor < given:
        times = given // factor
        places = places.reshape(3, factor, times, factor, times, *tail.shape[1:]).mean(dim=(2, 4))
    else:
        times = factor // given
        places = places.repeat_interleave(times, dim=1).repeat_interleave(times, dim=2)
    return places.reshape(3 * factor**2, *tail.shape[1:])
