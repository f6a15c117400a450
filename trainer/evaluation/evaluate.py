"""Evaluation of a checkpoint: an upscaler against the original, a style by distances and its objective."""

import hashlib
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from nets.checkpoint import Checkpoint
from nets.pixels import to_network
from nets.super_resolution import SuperResolutionConfig
from trainer.config import FamilyStyle, StyleLoss
from trainer.data import list_photographs, read_rgb, read_style_image
from trainer.errors import TrainerError
from trainer.evaluation.metrics import Enlarge, benchmark_pairs, compared_luma, psnr, ssim
from trainer.evaluation.style_distance import STYLE_PX, StyleDistance, StyleMeter, measure_style
from trainer.loop.samples import apply
from trainer.objective.loss_network import LossNetwork
from trainer.objective.perceptual_distance import PerceptualDistance
from trainer.objective.style_objective import StyleObjective


@dataclass(frozen=True)
class UpscalingScore:
    """The scores of an image, or a mean: PSNR in dB and SSIM on Y; LPIPS and the relu2_2 loss, or None."""

    image: str
    psnr: float
    ssim: float
    lpips: float | None = None
    relu2_2: float | None = None


def enlarger(checkpoint: Checkpoint) -> Enlarge:
    """Return an upscaling checkpoint as a function of pictures, on the CPU. Raises TrainerError for a style."""
    if not isinstance(checkpoint.config, SuperResolutionConfig):
        raise TrainerError(f"{checkpoint.card.name} is a {checkpoint.card.task} checkpoint: it enlarges nothing")
    return partial(apply, checkpoint.net, device=torch.device("cpu"))


def score_upscaling(
    enlarge: Enlarge, folder: Path, factor: int, distance: PerceptualDistance | None
) -> list[UpscalingScore]:
    """Score an upscaler on each image of a folder; the last score is the mean."""
    scores = []
    for name, low, truth in benchmark_pairs(folder, factor):
        answer = enlarge(low)
        luma = compared_luma(answer, truth, factor)
        perceptual = (distance.lpips(answer, truth), distance.features(answer, truth)) if distance else (None, None)
        scores.append(UpscalingScore(name, psnr(*luma), ssim(*luma), *perceptual))
    columns = [field.name for field in fields(UpscalingScore) if field.name != "image"]
    values = {name: [getattr(score, name) for score in scores] for name in columns}
    means: dict[str, Any] = {
        name: None if None in column else float(np.mean(column)) for name, column in values.items()
    }
    return [*scores, UpscalingScore("mean", **means)]


def objective_of(checkpoint: Checkpoint, loss_network: LossNetwork, style_image: Path) -> StyleObjective:
    """Return the objective of a style's training. Raises TrainerError for another style image."""
    training = checkpoint.card.training
    if "style_image_sha256" not in training:
        raise TrainerError(f"{checkpoint.card.name}: its card does not tell of a style image")
    if hashlib.sha256(style_image.read_bytes()).hexdigest() != training["style_image_sha256"]:
        raise TrainerError(f"{style_image} is not the style image that {checkpoint.card.name} was trained on")
    recipe = training["recipe"]
    loss = StyleLoss.model_validate(recipe["loss"])
    if "style" not in recipe:
        return StyleObjective(loss_network, loss, read_style_image(style_image, recipe["data"]["style_px"]))
    style = FamilyStyle.model_validate(recipe["style"])
    return StyleObjective(loss_network, style.weigh(loss), read_style_image(style_image, style.style_px))


def score_style(
    checkpoint: Checkpoint, loss_network: LossNetwork, style_image: Path, folder: Path, longest_px: int
) -> list[StyleDistance]:
    """Measure a style on each photograph of a folder, none longer than `longest_px`; the last score is the mean."""
    photographs = []
    for path in list_photographs([folder]):
        image = read_rgb(path)
        image.thumbnail((longest_px, longest_px), Image.Resampling.LANCZOS)
        photographs.append((path.name, to_network([np.array(image)])))
    meter = StyleMeter(loss_network, read_style_image(style_image, STYLE_PX))
    with torch.inference_mode():
        return measure_style(checkpoint.net.eval(), meter, photographs)


@torch.inference_mode()
def style_terms(checkpoint: Checkpoint, objective: StyleObjective, image: Image.Image) -> dict[str, float]:
    """Compute the terms of the objective for the output of one image, in float32, clipped to [0, 1] as served."""
    content = to_network([np.array(image)], torch.device("cpu"))
    terms = objective.terms(checkpoint.net.eval()(content).clamp(0.0, 1.0), objective.content(content))
    return {name: term.item() for name, term in terms.items()}
