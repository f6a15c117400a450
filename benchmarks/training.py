"""Iterations per second of our training loop and of a plain one: same network, batch, crop, losses and photographs.

The plain loop follows pytorch/examples (fast_neural_style): float32, NCHW, the whole loss network for outputs and
content images, photographs decoded between iterations. Ours is that of `trainer.recipes`. Both
alternate, so that other load affects both. Prints a table, writes JSON.

    python benchmarks/training.py --vgg16 PATH [--width 32] [--crop 256] [--batch 2] [--rounds 5]
        [--results docs/results.md]
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from engine import Row, machine, table
from torch import nn

from nets.layers import InstanceNorm
from nets.style_trunk import StyleTrunkConfig, StyleTrunkNet, with_noise
from trainer.commands.options import DEFAULT_WORKERS
from trainer.config import Optimiser, StyleLoss
from trainer.data import ContentCrops, Photographs, batches, list_photographs, read_style_image, to_floats
from trainer.evaluation.results import this_machine
from trainer.evaluation.sections import write_section
from trainer.loop.optimisation import Optimisation
from trainer.loop.precision import choose_precision
from trainer.objective import losses
from trainer.objective.loss_network import LAYERS, load_loss_network
from trainer.objective.style_objective import StyleObjective

ROOT = Path(__file__).resolve().parent.parent
PHOTOGRAPHS = ROOT / "docs" / "images" / "photographs"
CPU = torch.device("cpu")
LOSS = StyleLoss(content_layer="relu2_2", style_weight=5.0, total_variation_weight=10.0)
ITERATIONS = 10**6


def main() -> None:
    """Measure both loops, in rounds of `--iterations` each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--vgg16", type=Path)
    parser.add_argument("--data", type=Path, default=PHOTOGRAPHS)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--crop", type=int, default=256)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--iterations", type=int, default=6)
    parser.add_argument("--results", type=Path)
    options = parser.parse_args()
    steps = {"plain fp32": plain(options), "ours": ours(options)}
    for step in steps.values():
        step()
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(options.rounds):
        for name, step in steps.items():
            start = time.perf_counter()
            for _ in range(options.iterations):
                step()
            seconds[name].append((time.perf_counter() - start) / options.iterations)
    rates = {name: 1 / median(values) for name, values in seconds.items()}
    for name, rate in rates.items():
        print(f"{name:12} {rate:6.2f} iterations/s")
    print(f"{'ratio':12} {rates['ours'] / rates['plain fp32']:6.2f}")
    out = ROOT / "out"
    out.mkdir(exist_ok=True)
    settings = {key: str(value) for key, value in vars(options).items()}
    report = {"settings": settings, "machine": this_machine().model_dump(), "iterations_per_second": rates}
    (out / "training.json").write_text(json.dumps(report, indent=2))
    if options.results:
        lines: list[Row] = [{"loop": name, "iterations/s": rate} for name, rate in rates.items()]
        head = (
            f"## Training speed\n\n`python benchmarks/training.py --results docs/results.md`, {machine()}; "
            f"ours in {choose_precision('auto', CPU)}.\nBoth loops alternate: {options.rounds} rounds of "
            f"{options.iterations} iterations, batches of {options.batch}, {options.crop} px.\n\n"
        )
        write_section(options.results, "benchmarks/training.py", head + table(lines))


def loader(options: argparse.Namespace, workers: int) -> Callable[[], torch.Tensor]:
    """Return a function that loads the next batch of crops, uint8 (N, 3, crop, crop)."""
    photographs = Photographs(list_photographs([options.data]))
    crops = ContentCrops(photographs, options.crop, 2.0, 0, ITERATIONS)
    iterator = iter(batches(crops, range(ITERATIONS), options.batch, workers, CPU))
    return lambda: next(iterator)


def plain(options: argparse.Namespace) -> Callable[[], None]:
    """Return one iteration of the plain loop."""
    net = StyleTrunkNet(StyleTrunkConfig(width=options.width)).train()
    for parent in list(net.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, InstanceNorm):
                setattr(parent, name, nn.InstanceNorm2d(child.weight.shape[0], affine=True))
    loss_network = load_loss_network(options.vgg16)
    style = loss_network(style_image(), list(LAYERS))
    grams = {name: losses.gram(features) for name, features in style.items()}
    adam = torch.optim.Adam(net.parameters(), lr=1e-3)
    following = loader(options, workers=0)

    def step() -> None:
        content = following().float() / 255
        output = net.paint(with_noise(content))  # the batch in one go, as a plain loop has it
        painted, kept = loss_network(output, list(LAYERS)), loss_network(content, list(LAYERS))
        total = LOSS.content_weight * losses.feature_reconstruction(painted["relu2_2"], kept["relu2_2"])
        for name, wanted in grams.items():
            n, c, h, w = painted[name].shape
            flat = painted[name].view(n, c, h * w)
            matrix = flat.bmm(flat.transpose(1, 2)) / (c * h * w)
            total = total + LOSS.style_weight * losses.relative_style_reconstruction(matrix, wanted)
        total = total + LOSS.total_variation_weight * losses.total_variation(output)
        adam.zero_grad()
        total.backward()
        adam.step()

    return step


def ours(options: argparse.Namespace) -> Callable[[], None]:
    """Return one iteration of the recipe."""
    bf16 = choose_precision("auto", CPU) == "bf16"
    net = StyleTrunkNet(StyleTrunkConfig(width=options.width)).train().to(memory_format=torch.channels_last)
    loss_network = load_loss_network(options.vgg16).to(memory_format=torch.channels_last)
    objective = StyleObjective(loss_network, LOSS, style_image())
    if bf16:
        loss_network.features.bfloat16()
    optimisation = Optimisation(net, Optimiser(), ITERATIONS, None)
    following = loader(options, DEFAULT_WORKERS)

    def step() -> None:
        content = to_floats(following(), CPU)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            output = net(content)
        terms = objective.terms(output, objective.content(content))
        optimisation.step(torch.stack(list(terms.values())).sum(), 0)

    return step


def style_image() -> torch.Tensor:
    """Return an arbitrary style image."""
    return read_style_image(PHOTOGRAPHS / "coffee.jpg", 384)


if __name__ == "__main__":
    main()
