"""The golden output: what a network returns for a fixed input. It reveals a wrongly loaded network before serving."""

import math

import torch
from torch import Tensor, nn

GOLDEN_TOLERANCE = 1 / 255
"""The largest accepted difference from the recorded output. Libraries and devices differ by much less."""

_HEIGHT, _WIDTH = 32, 48


def golden_input() -> Tensor:
    """Return float32 (1, 3, 32, 48) in [0, 1]: value (c, y, x) is ((17 x + 31 y + 59 c + x y) mod 256) / 255."""
    x = torch.arange(_WIDTH)[None, None, :]
    y = torch.arange(_HEIGHT)[None, :, None]
    c = torch.arange(3)[:, None, None]
    return ((17 * x + 31 * y + 59 * c + x * y) % 256).unsqueeze(0).float() / 255.0


@torch.inference_mode()
def golden_output(net: nn.Module) -> list[float]:
    """Run `net` on `golden_input()`. Returns every 8th pixel from (3, 5), channel by channel, rounded to 5 digits.

    `net` must be float32 and in `eval()` mode. It may be on any device.
    """
    device = next(net.parameters()).device
    return golden_values(net(golden_input().to(device)))


def golden_values(output: Tensor) -> list[float]:
    """Return the values of an output for `golden_input()` that are recorded: see `golden_output`."""
    return [round(value, 5) for value in output[0, :, 3::8, 5::8].flatten().tolist()]


def golden_difference(expected: list[float], found: list[float]) -> float:
    """Return the largest absolute difference; infinity if the lengths differ or a value is NaN."""
    if len(expected) != len(found):
        return float("inf")
    differences = [abs(a - b) for a, b in zip(expected, found, strict=True)]
    return float("inf") if any(map(math.isnan, differences)) else max(differences)


def golden_mean_difference(expected: list[float], found: list[float]) -> float:
    """Return the mean absolute difference; infinity if the lengths differ or a value is NaN."""
    if golden_difference(expected, found) == float("inf"):
        return float("inf")
    return sum(abs(a - b) for a, b in zip(expected, found, strict=True)) / len(expected)
