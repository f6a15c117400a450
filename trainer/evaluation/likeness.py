"""Distances of outputs to the painting and to the photograph, for styles and for rivals."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from nets.checkpoint import Checkpoint
from nets.pixels import to_network
from trainer.data import list_photographs, read_rgb, read_style_image
from trainer.evaluation.results import Likeness, LikenessRow, this_machine
from trainer.evaluation.rivals import Painter
from trainer.evaluation.style_distance import STYLE_PX, StyleDistance, StyleMeter, mean_of
from trainer.loop.samples import apply
from trainer.objective.loss_network import LossNetwork

OURS = "network"


@dataclass(frozen=True)
class LikenessPlan:
    """The photographs to stylize: folders, and the longer side that they are reduced to, in pixels."""

    photographs: list[Path]
    longest_px: int


def measure_likeness(
    checkpoints: Mapping[str, Checkpoint],
    style_image: Callable[[Checkpoint], Path],
    rivals: Mapping[str, Painter],
    loss_network: LossNetwork,
    plan: LikenessPlan,
    pictures: Path,
    say: Callable[[str], None],
) -> Likeness:
    """Measure every style, and every rival in that style, on the same photographs.

    The pictures are written into the folder `pictures`. say: told one line for each style and method.
    """
    pictures.mkdir(parents=True, exist_ok=True)
    photographs = {path.stem: _reduced(path, plan.longest_px) for path in list_photographs(plan.photographs)}
    for name, photograph in photographs.items():
        photograph.save(pictures / f"{name}.jpg", quality=92)
    rows = []
    for style, checkpoint in checkpoints.items():
        painting = style_image(checkpoint)
        meter = StyleMeter(loss_network, read_style_image(painting, STYLE_PX))
        methods: dict[str, Painter] = {OURS: partial(_paint, checkpoint), **rivals}
        for method, paint in methods.items():
            found = []
            for name, photograph in photographs.items():
                painted = paint(photograph, painting)
                painted.save(pictures / f"{name}-{style}-{method}.jpg", quality=92)
                found.append(meter.measure(name, *(to_network([np.array(image)]) for image in (painted, photograph))))
            mean = mean_of(found)
            rows.append(_row(style, method, mean))
            say(f"{style}, {method}: " + ", ".join(f"{layer} {value:.3f}" for layer, value in mean.style.items()))
    return Likeness(machine=this_machine(), longest_px=plan.longest_px, photographs=list(photographs), rows=rows)


def _reduced(path: Path, longest_px: int) -> Image.Image:
    image = read_rgb(path)
    image.thumbnail((longest_px, longest_px), Image.Resampling.LANCZOS)
    return image


def _paint(checkpoint: Checkpoint, photograph: Image.Image, _painting: Path) -> Image.Image:
    return Image.fromarray(apply(checkpoint.net.eval(), np.array(photograph), torch.device("cpu")))


def _row(style: str, method: str, mean: StyleDistance) -> LikenessRow:
    return LikenessRow(
        style=style,
        method=method,
        style_distance=dict(mean.style),
        content_distance=dict(mean.content),
        contrast=mean.contrast,
        grid2=mean.grid2,
        grid4=mean.grid4,
    )
