"""Measure an upscaling checkpoint as the super-resolution literature does.

Protocol: the truth is cropped to a multiple of the factor, reduced by antialiased bicubic; PSNR and SSIM on the Y of
BT.601 (16 to 235), with `factor` pixels cut off at each border (Johnson et al. 2016, section 4.2; facts as in
docs/training.md).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from skimage.metrics import structural_similarity

from nets.checkpoint import load
from nets.pixels import Picture
from nets.super_resolution import SuperResolutionConfig
from trainer.data import list_photographs, read_rgb, reduce
from trainer.errors import TrainerError
from trainer.samples import apply


@dataclass(frozen=True)
class Score:
    """PSNR in dB and SSIM, of bicubic and of the network, over one image or averaged over a folder."""

    image: str
    bicubic_psnr: float
    bicubic_ssim: float
    psnr: float
    ssim: float


def luma(picture: Picture) -> NDArray[np.float64]:
    """Y of BT.601 in 16..235, unrounded: uint8 (H, W, 3) -> float64 (H, W)."""
    weights = np.array([65.481, 128.553, 24.966]) / 255.0
    y: NDArray[np.float64] = 16.0 + picture.astype(np.float64) @ weights
    return y


def psnr(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Peak signal to noise ratio in dB of two images with a peak of 255; infinite where they are equal."""
    error = float(np.mean((a - b) ** 2))
    return float("inf") if error == 0 else 10 * float(np.log10(255.0**2 / error))


def ssim(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Structural similarity (Wang et al. 2004): Gaussian window, sigma 1.5, population statistics."""
    return float(
        structural_similarity(  # type: ignore[no-untyped-call]
            a, b, data_range=255.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
    )


def evaluate(checkpoint: Path, folder: Path) -> list[Score]:
    """Score an upscaling checkpoint on each image of a folder; the last score is the mean."""
    loaded = load(checkpoint)
    if not isinstance(loaded.config, SuperResolutionConfig):
        raise TrainerError(f"{checkpoint} is a {loaded.card.task} checkpoint: PSNR has a meaning for upscale alone")
    factor = loaded.config.factor
    scores = []
    for path in list_photographs([folder]):
        image = read_rgb(path)
        truth = image.crop((0, 0, image.width // factor * factor, image.height // factor * factor))
        low = reduce(truth, factor)
        bicubic = np.array(low.resize(truth.size, Image.Resampling.BICUBIC))
        answer = apply(loaded.net, np.array(low), torch.device("cpu"))
        expected, cut = luma(np.array(truth)), np.s_[factor:-factor, factor:-factor]
        pairs = [(luma(candidate)[cut], expected[cut]) for candidate in (bicubic, answer)]
        numbers = [measure(a, b) for a, b in pairs for measure in (psnr, ssim)]
        scores.append(Score(path.name, *numbers))
    columns = [[getattr(score, name) for score in scores] for name in ("bicubic_psnr", "bicubic_ssim", "psnr", "ssim")]
    return [*scores, Score("mean", *(float(np.mean(column)) for column in columns))]
