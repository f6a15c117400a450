"""Train one style: photographs in, a network that paints them like the style image out (Johnson et al. 2016, 3.1)."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from nets.checkpoint import load
from nets.style_transfer import StyleTransferConfig, StyleTransferNet
from trainer import losses, samples
from trainer.config import StyleLoss, StyleRecipe
from trainer.data import ContentCrops, batches, digest_of, list_photographs, read_style_image, to_floats
from trainer.errors import TrainerError
from trainer.loss_network import LossNetwork
from trainer.optimisation import Optimisation
from trainer.precision import choose_precision
from trainer.progress import Progress
from trainer.publish import publish_run, training_facts
from trainer.runs import Run, git_revision
from trainer.spikes import SpikeWatch

_SAMPLES, _SAMPLE_PX = 4, 384
_NEUTRAL_WEIGHT = 100.0  # as large as the terms that follow, or Adam's first steps among them would be a blow


@dataclass(frozen=True)
class Inputs:
    """What a recipe is run on: folders of photographs, the style image, the loss network, a device."""

    photographs: list[Path]
    style_image: Path
    loss_network: LossNetwork
    device: torch.device
    workers: int = 0


def train(recipe: StyleRecipe, inputs: Inputs, run: Run) -> Path:
    """Train to `recipe.iterations`, from wherever `run` stands; returns the published checkpoint's path."""
    torch.manual_seed(recipe.seed)
    device, precision = inputs.device, choose_precision(recipe.precision, inputs.device)
    style_digest = hashlib.sha256(inputs.style_image.read_bytes()).hexdigest()
    net, parent = _network(recipe)
    photographs = list_photographs(inputs.photographs)
    settings = recipe.model_dump() | {
        "style_image": style_digest,
        "parent": parent or "",
        "photographs": digest_of(photographs),
        "loss_network": f"vgg16@sha256:{inputs.loss_network.digest}",
    }
    state = run.begin(settings)
    revision = git_revision()

    net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimisation = Optimisation(net, recipe.optimiser, recipe.iterations, state)
    first = optimisation.first
    spikes = SpikeWatch(net)  # after the optimisation has made its copy for the average

    loss_network = inputs.loss_network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    style_image = read_style_image(inputs.style_image, recipe.data.style_px).to(device)
    style_grams = _grams(loss_network, style_image, recipe.loss)
    if precision == "bf16":
        loss_network.features.bfloat16()

    shown = samples.choose(photographs, _SAMPLES, _SAMPLE_PX)
    data, batch = recipe.data, recipe.data.batch
    examples = recipe.iterations * batch
    crops = ContentCrops(photographs, data.crop_px, data.max_scale, recipe.seed, examples)
    loader = batches(crops, batch, first * batch, examples, inputs.workers)

    net.train()
    with Progress(run, recipe.name, first, recipe.iterations) as progress:
        for iteration, pictures in enumerate(loader, start=first):
            content = to_floats(pictures, device)
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
                output = net(content)
            if iteration < recipe.neutral_iterations:
                terms = {"pixel": _NEUTRAL_WEIGHT * losses.pixel(output, content)}
            else:
                terms = loss_terms(loss_network, recipe.loss, content, output, style_grams)
            terms["spikes"] = recipe.loss.spike_weight * spikes.take()
            gradient = optimisation.step(sum(terms.values(), start=torch.zeros((), device=device)), iteration)

            done = iteration + 1
            progress.note(done, terms, gradient)
            if progress.due(done, recipe.sample_every):
                sheet = samples.stylised(optimisation.result(), shown, device)
                sheet.save(run.samples / f"{done:06d}.jpg", quality=92)
            if progress.due(done, recipe.save_every):
                run.save({"recipe": settings, **optimisation.state(done)})

    training = training_facts(recipe, settings, len(photographs), precision, revision)
    training["style_image_sha256"] = style_digest
    return publish_run(run, optimisation.result(), recipe, parent, training)


def loss_terms(
    loss_network: LossNetwork, loss: StyleLoss, content: Tensor, output: Tensor, style_grams: dict[str, Tensor]
) -> dict[str, Tensor]:
    """The weighted terms, by name; their sum is the loss. content and output: float (N, 3, H, W) in [0, 1]."""
    layers = {loss.content_layer, *style_grams}
    features = loss_network(output, sorted(layers))
    with torch.no_grad():
        target = loss_network(content, [loss.content_layer])[loss.content_layer]
    compare = losses.relative_style_reconstruction if loss.gram_scale == "relative" else losses.style_reconstruction
    style = torch.stack(
        [
            loss.style_layers[layer] * compare(losses.gram(losses.patches(features[layer], loss.style_grid)), wanted)  # type: ignore[index]
            for layer, wanted in style_grams.items()
        ]
    ).sum()
    return {
        "content": loss.content_weight * losses.feature_reconstruction(features[loss.content_layer], target),
        "style": loss.style_weight * style,
        "tv": loss.total_variation_weight * losses.total_variation(output),
        "range": loss.range_weight * losses.out_of_range(output),
    }


@torch.no_grad()
def _grams(loss_network: LossNetwork, style_image: Tensor, loss: StyleLoss) -> dict[str, Tensor]:
    """The style image's Gram matrices, float32 (1, C, C), at the layers that have a weight."""
    layers = [layer for layer, weight in loss.style_layers.items() if weight > 0]
    return {layer: losses.gram(features) for layer, features in loss_network(style_image, layers).items()}


def _network(recipe: StyleRecipe) -> tuple[StyleTransferNet, str | None]:
    """A fresh network, or the parent's weights to start from, with the parent's version."""
    config = StyleTransferConfig(**recipe.network.model_dump())
    if not recipe.parent:
        return StyleTransferNet(config), None
    parent = load(Path(recipe.parent))
    if parent.config != config or not isinstance(parent.net, StyleTransferNet):
        raise TrainerError(f"parent {recipe.parent} is {parent.config}, the recipe's network is {config}")
    return parent.net, parent.version
