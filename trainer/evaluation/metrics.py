"""Metrics of enlarged pictures, as in the super-resolution literature.

Protocol: the original is cropped to a multiple of the factor and reduced by antialiased bicubic; PSNR and SSIM on the Y
of BT.601 (16 to 235), with `factor` pixels cut off at each border (Johnson et al. 2016, section 4.2).
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.metrics import structural_similarity

from nets.pixels import Picture
from trainer.data import list_photographs, read_rgb, reduce

Enlarge = Callable[[Picture], Picture]
"""uint8 (H, W, 3) -> uint8 (factor H, factor W, 3)."""


def luma(picture: Picture) -> NDArray[np.float64]:
    """Compute Y of BT.601 in 16..235, unrounded: uint8 (H, W, 3) -> float64 (H, W)."""
    weights = np.array([65.481, 128.553, 24.966]) / 255.0
    y: NDArray[np.float64] = 16.0 + picture.astype(np.float64) @ weights
    return y


def psnr(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Compute the peak signal to noise ratio in dB for a peak of 255; infinite for equal images."""
    error = float(np.mean((a - b) ** 2))
    return float("inf") if error == 0 else 10 * float(np.log10(255.0**2 / error))


def ssim(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Compute the structural similarity (Wang et al. 2004): Gaussian window, sigma 1.5, population statistics."""
    return float(
        structural_similarity(  # type: ignore[no-untyped-call]
            a, b, data_range=255.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
    )


def bicubic(factor: int) -> Enlarge:
    """Return Pillow's bicubic enlargement, the usual baseline."""

    def enlarge(low: Picture) -> Picture:
        height, width = low.shape[:2]
        return np.array(Image.fromarray(low).resize((width * factor, height * factor), Image.Resampling.BICUBIC))

    return enlarge


def benchmark_pairs(folder: Path, factor: int) -> list[tuple[str, Picture, Picture]]:
    """Return (name, low resolution, original) of each image. Raises TrainerError if there is none, or a broken one."""
    pairs = []
    for path in list_photographs([folder]):
        image = read_rgb(path)
        truth = image.crop((0, 0, image.width // factor * factor, image.height // factor * factor))
        pairs.append((path.name, np.array(reduce(truth, factor)), np.array(truth)))
    return pairs


def compared_luma(a: Picture, b: Picture, factor: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the Y of two pictures without the border that the protocol leaves out."""
    cut = np.s_[factor:-factor, factor:-factor]
    return luma(a)[cut], luma(b)[cut]


def mean_psnr(enlarge: Enlarge, folder: Path, factor: int) -> float:
    """Average the PSNR in dB on Y over the images of a folder."""
    scores = [psnr(*compared_luma(enlarge(low), truth, factor)) for _, low, truth in benchmark_pairs(folder, factor)]
    return float(np.mean(scores))
