"""The paper's table of speed on this machine: Gatys et al. against the style network, and the ratio at equal objective.

    make bench PART=paper                                  (or: .venv-bench/bin/python benchmarks/paper.py)

VGG16's weights: IMPASTO_VGG16=FILE. Both compute in the precision that Impasto chooses on this CPU. One iteration of
Gatys et al. (one value and gradient) is timed over a few; times of 100, 300 and 500 iterations are multiples. The
iterations until the objective equals that of the network are counted by running them on each photograph at the smallest
size.
"""

import argparse
import json
import time
from functools import partial
from pathlib import Path
from statistics import mean, median

import numpy as np
import torch
from chosen import inference

from nets.banded.bands import run_to_end
from nets.banded.run import compute
from nets.checkpoint import Checkpoint, load
from nets.pixels import Picture, to_network
from trainer.commands.options import style_image_of
from trainer.data import list_photographs, read_rgb
from trainer.evaluation import gatys
from trainer.evaluation.comparison import square
from trainer.evaluation.evaluate import objective_of, style_terms
from trainer.evaluation.results import this_machine
from trainer.loop.precision import choose_precision
from trainer.objective.loss_network import load_loss_network
from trainer.objective.style_objective import StyleObjective

ROOT = Path(__file__).resolve().parent.parent
PHOTOGRAPHS = ROOT / "docs" / "images" / "photographs"
CPU = torch.device("cpu")
Row = dict[str, float | int | str | None]


def network_seconds(checkpoint: Checkpoint, picture: Picture) -> float:
    """Time one pass as the service computes it, pixels to pixels: the median of five."""
    net = checkpoint.net.to(memory_format=torch.channels_last)

    def run() -> float:
        start = time.perf_counter()
        with inference():
            run_to_end(compute(net, [picture], CPU))
        return time.perf_counter() - start

    run()
    return median(run() for _ in range(5))


def speed(checkpoint: Checkpoint, objective: StyleObjective, sides: list[int], iterations: int) -> list[Row]:
    """Time both at each size. iterations: of Gatys et al. that are timed."""
    rows: list[Row] = []
    for side in sides:
        picture = np.array(square(read_rgb(list_photographs([PHOTOGRAPHS])[0]), side))
        once = network_seconds(checkpoint, picture)
        found = gatys.optimise(objective, to_network([picture]), iterations + 1)
        each = float(mean(np.diff(found.seconds)))
        row: Row = {"side, px": side, "network, s": once, "Gatys, s an iteration": each, "timed iterations": iterations}
        rows.append(row | {f"ratio to {n}": n * each / once for n in (100, 300, 500)})
        print(row, flush=True)
    return rows


def equal(checkpoint: Checkpoint, objective: StyleObjective, side: int, most: int, count: int) -> list[Row]:
    """Return, per photograph, the network's objective, Gatys' after `most` iterations, and when they are equal."""
    rows: list[Row] = []
    for path in list_photographs([PHOTOGRAPHS])[:count]:
        image = square(read_rgb(path), side)
        network = sum(style_terms(checkpoint, objective, image).values())
        rival = gatys.optimise(objective, to_network([np.array(image)]), most).objective
        at = next((i + 1 for i, value in enumerate(rival) if value <= network), None)
        rows.append(
            {
                "photograph": path.stem,
                "network": network,
                "equal after": at,
                **{f"Gatys after {n}": rival[n - 1] for n in (10, 20, 40, most) if n <= most},
            }
        )
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Measure both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--style", default="engraving", help="Its style image must be found: IMPASTO_STYLES.")
    parser.add_argument("--sides", type=int, nargs="+", default=[256, 512, 1024])
    parser.add_argument("--iterations", type=int, default=3, help="Of Gatys, timed at each size.")
    parser.add_argument("--most", type=int, default=60, help="Iterations within which Gatys should be as good.")
    parser.add_argument("--photographs", type=int, default=4)
    parser.add_argument("--vgg16", type=Path)
    parser.add_argument("--json", type=Path, default=ROOT / "out" / "paper.json")
    options = parser.parse_args()
    checkpoint = load(ROOT / "checkpoints" / "stylize" / f"{options.style}.safetensors")
    loss_network = load_loss_network(options.vgg16)
    image = style_image_of(checkpoint, ROOT / "trainer" / "configs")
    objective = objective_of(checkpoint, loss_network, image)
    precision = choose_precision("auto", CPU)
    loss_network.features.to(torch.bfloat16 if precision == "bf16" else torch.float32)
    run = partial(equal, checkpoint, objective, options.sides[0], options.most, options.photographs)
    report = {
        "machine": this_machine().model_dump(),
        "style": options.style,
        "precision": precision,
        "speed": speed(checkpoint, objective, options.sides, options.iterations),
        "equal": run(),
    }
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
