"""A replica for the test of several: `python -m tests.service.jobs.replica`, IMPASTO_* as usual.

Its upscale/x2 doubles a picture, and appends a line "PROCESS CODE" to the file FLEET_PASSES for each that it computes.
"""

import os
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from service.cli.server import run
from service.models.registry import registry_from_settings
from service.settings import read_settings
from tests.service.faults import put_faulty

PASS_SECONDS = 0.1
FIRST_CODE = 1_000_000


def coded_picture(code: int) -> np.ndarray:
    """uint8 (20, 30, 3), whose every pixel is the code, in three bytes."""
    return np.broadcast_to(np.array([code & 255, code >> 8 & 255, code >> 16], np.uint8), (20, 30, 3)).copy()


class RecordingNet(nn.Module):
    """Doubles a picture by nearest neighbour, slowly, and notes that it did."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        bytes_ = (x[:, :, 0, 0] * 255).round().int().tolist()
        codes = [red | green << 8 | blue << 16 for red, green, blue in bytes_]
        time.sleep(PASS_SECONDS * len(codes))
        with Path(os.environ["FLEET_PASSES"]).open("a") as file:
            file.write("".join(f"{os.getpid()} {code}\n" for code in codes))
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


if __name__ == "__main__":
    settings = read_settings()
    registry = registry_from_settings(settings)
    put_faulty(registry, RecordingNet())
    run(settings, registry)
