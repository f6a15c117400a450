"""What others published, to stand beside our figures.

`verified`: read in a public source. What is not is recalled from the paper and was not compared with it.
"""

from typing import NamedTuple


class PublishedScore(NamedTuple):
    """PSNR in dB on Y of one method."""

    benchmark: str
    factor: int
    method: str
    psnr: float
    verified: bool


class PublishedSeconds(NamedTuple):
    """Seconds on a Titan X at one size: one pass, and Gatys after 100, 300 and 500 iterations."""

    side_px: int
    network: float
    gatys_100: float
    gatys_300: float
    gatys_500: float


_PAPER_PIXEL, _PAPER_FEATURES = "the paper, per-pixel", "the paper, perceptual"

SCORES = [
    PublishedScore("set5", 2, "SRCNN, published", 36.66, verified=False),
    PublishedScore("set14", 2, "SRCNN, published", 32.45, verified=False),
    PublishedScore("set5", 4, "SRCNN, published", 30.48, verified=True),
    PublishedScore("set14", 4, "SRCNN, published", 27.49, verified=True),
    PublishedScore("set5", 4, _PAPER_PIXEL, 28.40, verified=False),
    PublishedScore("set14", 4, _PAPER_PIXEL, 25.75, verified=False),
    PublishedScore("set5", 4, _PAPER_FEATURES, 27.09, verified=False),
    PublishedScore("set14", 4, _PAPER_FEATURES, 24.99, verified=False),
    PublishedScore("set5", 8, _PAPER_PIXEL, 24.77, verified=False),
    PublishedScore("set14", 8, _PAPER_PIXEL, 23.02, verified=False),
    PublishedScore("set5", 8, _PAPER_FEATURES, 23.26, verified=False),
    PublishedScore("set14", 8, _PAPER_FEATURES, 21.64, verified=False),
]

SECONDS = [  # none of them verified
    PublishedSeconds(256, 0.015, 3.17, 9.52, 15.86),
    PublishedSeconds(512, 0.05, 10.97, 32.91, 54.85),
    PublishedSeconds(1024, 0.21, 42.89, 128.66, 214.44),
]
