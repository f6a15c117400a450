"""The comparisons of the paper: styles against Gatys et al., their speed, and upscalers against bicubic and SRCNN.

Each function measures one part of trainer.evaluation.results.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean, median

import numpy as np
import torch
from PIL import Image

from nets.checkpoint import Checkpoint, load
from nets.pixels import from_network, to_network
from nets.super_resolution import SuperResolutionConfig
from trainer.data import read_rgb
from trainer.evaluation import gatys
from trainer.evaluation.evaluate import UpscalingScore, enlarger, objective_of, score_upscaling, style_terms
from trainer.evaluation.metrics import bicubic
from trainer.evaluation.public_upscalers import installed_upscalers, parameters
from trainer.evaluation.results import Duel, Speed, SpeedRow, Styles, Upscaling, UpscalingRow, this_machine
from trainer.loop.precision import choose_precision
from trainer.loop.samples import apply
from trainer.objective.loss_network import LossNetwork
from trainer.objective.perceptual_distance import PerceptualDistance
from trainer.objective.style_objective import StyleObjective


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of a model repository by name."""

    stylize: dict[str, Checkpoint]
    upscale: dict[str, Checkpoint]

    @classmethod
    def read(cls, folders: Iterable[Path]) -> "Checkpoints":
        """Load FOLDER/{stylize,upscale}/*.safetensors of each folder."""
        found: dict[str, dict[str, Checkpoint]] = {"stylize": {}, "upscale": {}}
        for folder in folders:
            for task, checkpoints in found.items():
                checkpoints |= {path.stem: load(path) for path in sorted((folder / task).glob("*.safetensors"))}
        return cls(**found)


def measure_upscaling(
    checkpoints: dict[str, Checkpoint], benchmarks: list[Path], distance: PerceptualDistance, say: Callable[[str], None]
) -> Upscaling:
    """Measure every upscaler, bicubic, and the installed public networks on every benchmark."""
    rows = []
    factors = sorted(
        {config.factor for c in checkpoints.values() if isinstance(config := c.config, SuperResolutionConfig)}
    )
    for benchmark in benchmarks:
        for factor in factors:
            methods = {"bicubic": (bicubic(factor), 0)}
            for name, checkpoint in checkpoints.items():
                if isinstance(checkpoint.config, SuperResolutionConfig) and checkpoint.config.factor == factor:
                    methods[name] = (enlarger(checkpoint), sum(p.numel() for p in checkpoint.net.parameters()))
            methods |= {name: (each, parameters(factor, name)) for name, each in installed_upscalers(factor).items()}
            for method, (enlarge, size) in methods.items():
                score: UpscalingScore = score_upscaling(enlarge, benchmark, factor, distance)[-1]
                row = UpscalingRow(
                    benchmark=benchmark.name,
                    factor=factor,
                    method=method,
                    parameters=size,
                    psnr=score.psnr,
                    ssim=score.ssim,
                    lpips=score.lpips,
                    relu2_2=score.relu2_2,
                )
                rows.append(row)
                say(f"{row.benchmark} x{factor} {method:16} {row.psnr:6.2f} dB, {row.ssim:.4f}, LPIPS {row.lpips:.4f}")
    return Upscaling(machine=this_machine(), rows=rows)


@dataclass(frozen=True)
class DuelPlan:
    """The plan of `measure_styles`: photographs, iterations, and the style `longest` that gets more iterations."""

    photographs: list[Path]
    side_px: int
    iterations: int
    longest: str
    longest_iterations: int
    start: gatys.Start


def measure_styles(
    checkpoints: dict[str, Checkpoint],
    style_image: Callable[[Checkpoint], Path],
    loss_network: LossNetwork,
    plan: DuelPlan,
    pictures: Path,
    say: Callable[[str], None],
) -> Styles:
    """Compare every style with Gatys et al. on held-out photographs. Both pictures are written into `pictures`.

    The results of Gatys et al. are kept beside that folder, so that an interrupted comparison continues. Both minimise
    the objective of the style's own recipe, and the loss network computes as it does in training.
    """
    pictures.mkdir(parents=True, exist_ok=True)
    objectives = {name: objective_of(c, loss_network, style_image(c)) for name, c in checkpoints.items()}
    precision = choose_precision("auto", torch.device("cpu"))
    loss_network.features.to(torch.bfloat16 if precision == "bf16" else torch.float32)
    duels = []
    for name, checkpoint in checkpoints.items():
        objective = objectives[name]
        iterations = plan.longest_iterations if name == plan.longest else plan.iterations
        for path in plan.photographs:
            image = square(read_rgb(path), plan.side_px)
            terms = style_terms(checkpoint, objective, image)
            total = sum(terms.values())
            content = to_network([np.array(image)])
            rival = gatys.optimise_once(
                pictures.parent / f"gatys-{precision}", objective, content, iterations, plan.start
            )
            equal = next((i + 1 for i, value in enumerate(rival.objective) if value <= total), None)
            image.save(pictures / f"{path.stem}.jpg", quality=92)
            answer = apply(checkpoint.net, np.array(image), torch.device("cpu"))
            Image.fromarray(answer).save(pictures / f"{path.stem}-{name}.jpg", quality=92)
            Image.fromarray(from_network(rival.picture)[0]).save(pictures / f"{path.stem}-{name}-gatys.jpg", quality=92)
            duels.append(
                Duel(
                    style=name,
                    photograph=path.stem,
                    network=total,
                    terms=terms,
                    gatys=rival.objective,
                    start=plan.start,
                    equal_at=equal,
                )
            )
            say(f"{name}, {path.stem}: network {total:.3f}, Gatys {rival.objective[-1]:.3f}, equal at {equal}")
    loss_network.features.float()
    return Styles(machine=this_machine(), side_px=plan.side_px, precision=precision, duels=duels)


def measure_speed(
    name: str, checkpoint: Checkpoint, objective: StyleObjective, photograph: Path, sides_px: list[int], iterations: int
) -> Speed:
    """Time one pass (median of five) and one iteration of Gatys et al. (mean of `iterations`)."""
    precision = choose_precision("auto", torch.device("cpu"))
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    objective.loss_network.features.to(dtype)
    net = checkpoint.net.eval().to(memory_format=torch.channels_last)
    rows = []
    for side in sides_px:
        content = to_network([np.array(square(read_rgb(photograph), side))])
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            passes = [_seconds(partial(net, content)) for _ in range(6)][1:]
        rival = gatys.optimise(objective, content, iterations + 1)
        rows.append(
            SpeedRow(
                side_px=side,
                precision=precision,
                network_seconds=median(passes),
                gatys_seconds_per_iteration=mean(np.diff(rival.seconds)),
                timed_iterations=iterations,
            )
        )
    objective.loss_network.features.float()
    return Speed(machine=this_machine(), style=name, rows=rows)


def square(image: Image.Image, side_px: int) -> Image.Image:
    """Return the central square of a picture, resized to `side_px`."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    return image.resize((side_px, side_px), Image.Resampling.LANCZOS, box=box)


def _seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start
