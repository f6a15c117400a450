"""Published figures, for comparison with ours.

`verified`: read in a public source. Other figures are quoted from memory and were not compared with the publication.
"""

from typing import NamedTuple


class PublishedScore(NamedTuple):
    """The PSNR of one method in dB on Y."""

    benchmark: str
    factor: int
    method: str
    psnr: float
    verified: bool


class PublishedSeconds(NamedTuple):
    """Seconds on a Titan X at one size: one pass, and Gatys after 100, 300 and 500 iterations; the ratios as printed.

    The printed ratios come from unrounded seconds, so they are quoted and not computed.
    """

    side_px: int
    network: float
    gatys: tuple[float, float, float]
    ratios: tuple[int, int, int]
    verified: bool


class PublishedEquality(NamedTuple):
    """The range of iterations in which Gatys et al. reach the objective of the network."""

    least: int
    most: int
    verified: bool


_BICUBIC, _SRCNN = "bicubic, published", "SRCNN, published"
_PAPER_PIXEL, _PAPER_FEATURES = "the paper, per-pixel", "the paper, perceptual"

EQUALITY = PublishedEquality(50, 100, verified=False)

SCORES = [
    PublishedScore("set5", 2, _SRCNN, 36.66, verified=False),
    PublishedScore("set14", 2, _SRCNN, 32.45, verified=False),
    PublishedScore("set5", 4, _BICUBIC, 28.42, verified=True),
    PublishedScore("set14", 4, _BICUBIC, 26.00, verified=True),
    PublishedScore("bsd100", 4, _BICUBIC, 25.96, verified=True),
    PublishedScore("set5", 4, _SRCNN, 30.48, verified=True),
    PublishedScore("set14", 4, _SRCNN, 27.49, verified=True),
    PublishedScore("bsd100", 4, _SRCNN, 26.90, verified=True),
    PublishedScore("set5", 4, _PAPER_PIXEL, 28.40, verified=False),
    PublishedScore("set14", 4, _PAPER_PIXEL, 25.75, verified=False),
    PublishedScore("bsd100", 4, _PAPER_PIXEL, 25.91, verified=False),
    PublishedScore("set5", 4, _PAPER_FEATURES, 27.09, verified=False),
    PublishedScore("set14", 4, _PAPER_FEATURES, 24.99, verified=False),
    PublishedScore("bsd100", 4, _PAPER_FEATURES, 24.95, verified=False),
    PublishedScore("set5", 8, _BICUBIC, 23.80, verified=False),
    PublishedScore("set14", 8, _BICUBIC, 22.37, verified=False),
    PublishedScore("bsd100", 8, _BICUBIC, 22.11, verified=False),
    PublishedScore("set5", 8, _PAPER_PIXEL, 24.77, verified=False),
    PublishedScore("set14", 8, _PAPER_PIXEL, 23.02, verified=False),
    PublishedScore("bsd100", 8, _PAPER_PIXEL, 22.54, verified=False),
    PublishedScore("set5", 8, _PAPER_FEATURES, 23.26, verified=False),
    PublishedScore("set14", 8, _PAPER_FEATURES, 21.64, verified=False),
    PublishedScore("bsd100", 8, _PAPER_FEATURES, 21.35, verified=False),
]

SECONDS = [
    PublishedSeconds(256, 0.015, (3.17, 9.52, 15.86), (212, 636, 1060), verified=False),
    PublishedSeconds(512, 0.05, (10.97, 32.91, 54.85), (205, 615, 1026), verified=False),
    PublishedSeconds(1024, 0.21, (42.89, 128.66, 214.44), (208, 625, 1042), verified=False),
]
