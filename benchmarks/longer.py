"""The objective of a style on held-out photographs, for states saved along one run.

    python -m trainer style trainer/configs/wave.toml --iterations 3000 --data ~/photographs --run runs/longer
    cp runs/longer/state.pt states/...                  every few hundred iterations, during the run
    PYTHONPATH=. python benchmarks/longer.py checkpoints/stylize/wave.safetensors wave.jpg states/*.pt

As in `trainer compare`: the central square of each of docs/images/photographs at 256 px, the running average of the
weights, the loss network in bf16 (IMPASTO_VGG16, else torchvision's). Prints a line of Markdown for each state.
"""

import sys
from pathlib import Path
from statistics import mean

import torch

from nets.checkpoint import load
from trainer.data import read_rgb
from trainer.evaluation.comparison import square
from trainer.evaluation.evaluate import objective_of, style_terms
from trainer.objective.loss_network import load_loss_network

PHOTOGRAPHS = Path(__file__).resolve().parent.parent / "docs/images/photographs"
SIDE_PX = 256


def main() -> None:
    """Measure the checkpoint, then its network with the weights of each state."""
    checkpoint, style_image = load(Path(sys.argv[1])), Path(sys.argv[2])
    loss_network = load_loss_network()
    objective = objective_of(checkpoint, loss_network, style_image)
    loss_network.features.to(torch.bfloat16)
    photographs = [square(read_rgb(path), SIDE_PX) for path in sorted(PHOTOGRAPHS.glob("*.jpg"))]

    def measure(label: object) -> None:
        terms = [style_terms(checkpoint, objective, photograph) for photograph in photographs]
        content, style = (mean(term[name] for term in terms) for name in ("content", "style"))
        total = mean(sum(term.values()) for term in terms)
        print(f"| {label} | {total:.2f} | {content:.2f} | {style:.2f} |", flush=True)

    print("| iterations | objective | content | style |\n|---|---|---|---|")
    measure("the checkpoint")
    states = [torch.load(path, map_location="cpu", weights_only=True) for path in sys.argv[3:]]
    for state in sorted(states, key=lambda state: int(state["iteration"])):
        average = {name.removeprefix("module."): value for name, value in state["average"].items()}
        average.pop("n_averaged")
        checkpoint.net.load_state_dict(average)
        measure(state["iteration"])


if __name__ == "__main__":
    main()
