"""Interpolation: between styles, from the neutral network to a style, from faithful to perceptual.

For each pair and each share of the second network: the style term towards both styles (mean over the photographs), the
content term, and whether the style term changes monotonically. For upscalers: PSNR and LPIPS. Prints tables, and writes
out/family.json.

    IMPASTO_STYLES=DIR python benchmarks/family.py --vgg16 PATH [--benchmark Set5]
"""

import argparse
import json
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import torch

from nets.checkpoint import Checkpoint, load
from nets.interpolation import interpolate
from nets.pixels import to_network
from trainer.commands.options import style_image_of
from trainer.data import list_photographs, read_rgb
from trainer.evaluation.comparison import square
from trainer.evaluation.evaluate import objective_of, score_upscaling
from trainer.loop.samples import apply
from trainer.objective.loss_network import LossNetwork, load_vgg16
from trainer.objective.perceptual_distance import PerceptualDistance
from trainer.objective.style_objective import StyleObjective

ROOT = Path(__file__).resolve().parent.parent
CHECKPOINTS = ROOT / "checkpoints"
PHOTOGRAPHS = ROOT / "docs" / "images" / "photographs"
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
SHOWN = (("neutral", "starry_night"), ("starry_night", "wave"), ("mosaic", "the_scream"), ("neutral", "mosaic"))
CPU = torch.device("cpu")
SIDE_PX = 256


def main() -> None:
    """Measure every path."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--vgg16", type=Path)
    parser.add_argument("--benchmark", type=Path)
    options = parser.parse_args()
    weights = load_vgg16(options.vgg16)
    result = {"styles": styles(LossNetwork(weights))}
    if options.benchmark:
        result["upscalers"] = upscalers(options.benchmark, PerceptualDistance(weights))
    out = ROOT / "out"
    out.mkdir(exist_ok=True)
    (out / "family.json").write_text(json.dumps(result, indent=1))


@torch.inference_mode()
def styles(loss_network: LossNetwork) -> list[dict[str, object]]:
    """Measure paths from the neutral network and the parent to every style, and between two siblings."""
    found = {path.stem: load(path) for path in sorted((CHECKPOINTS / "stylize").glob("*.safetensors"))}
    objectives = {
        name: objective_of(checkpoint, loss_network, style_image_of(checkpoint, ROOT / "trainer" / "configs"))
        for name, checkpoint in found.items()
        if "style_image_sha256" in checkpoint.card.training
    }
    photographs = [to_network([np.array(square(read_rgb(p), SIDE_PX))]) for p in list_photographs([PHOTOGRAPHS])[::2]]
    rows = []
    for one, other in combinations(found, 2):
        central = {one, other} & {"neutral", "starry_night"} or (one, other) in SHOWN
        if found[one].config != found[other].config or not central:
            continue
        for end in sorted({one, other} & set(objectives)):
            terms = [along(found[one], found[other], share, objectives[end], photographs) for share in SHARES]
            style = [round(term["style"], 2) for term in terms]
            towards = style if end == other else style[::-1]
            monotone = all(later <= earlier for earlier, later in pairwise(towards))
            content = [round(term["content"], 2) for term in terms]
            rows.append(
                {"from": one, "to": other, "measured": end, "style": style, "content": content, "monotone": monotone}
            )
            print(f"{one} -> {other}: style of {end} {style}{'' if monotone else ', NOT monotone'}, content {content}")
    return rows


def along(
    one: Checkpoint, other: Checkpoint, share: float, objective: StyleObjective, photographs: list[torch.Tensor]
) -> dict[str, float]:
    """Return the terms of the objective with `share` of the second network, averaged over the photographs."""
    net = interpolate([one.net, other.net], [1 - share, share])  # type: ignore[list-item]
    terms = [objective.terms(net(content).clamp(0, 1), objective.content(content)) for content in photographs]
    return {name: float(np.mean([term[name].item() for term in terms])) for name in terms[0]}


def upscalers(benchmark: Path, distance: PerceptualDistance) -> list[dict[str, object]]:
    """Measure the path from each faithful upscaler to its perceptual child."""
    rows = []
    for path in sorted((CHECKPOINTS / "upscale").glob("x*_perceptual.safetensors")):
        name = path.stem.removesuffix("_perceptual")
        child, parent = load(path), load(path.with_name(f"{name}.safetensors"))
        for share in SHARES:
            net = interpolate([parent.net, child.net], [1 - share, share])  # type: ignore[list-item]
            score = score_upscaling(lambda low, net=net: apply(net, low, CPU), benchmark, int(name[1:]), distance)[-1]
            rows.append({"factor": int(name[1:]), "share": share, "psnr": score.psnr, "lpips": score.lpips})
            print(f"{name} {share:.2f}: {score.psnr:.2f} dB, LPIPS {score.lpips:.4f}")
    return rows


if __name__ == "__main__":
    main()
