"""The golden answer: what a network must say to a fixed input, so that a wrong loading is noticed before serving."""

import math

import torch
from torch import Tensor, nn

GOLDEN_TOLERANCE = 1 / 255
"""How far an answer may lie from the recorded one. Devices and libraries differ by far less; mistakes by far more."""

_HEIGHT, _WIDTH = 32, 48


def golden_input() -> Tensor:
    """float32 (1, 3, 32, 48) in [0, 1]: pixel (y, x) of channel c is ((17 x + 31 y + 59 c + x y) mod 256) / 255."""
    x = torch.arange(_WIDTH)[None, None, :]
    y = torch.arange(_HEIGHT)[None, :, None]
    c = torch.arange(3)[:, None, None]
    return ((17 * x + 31 * y + 59 * c + x * y) % 256).unsqueeze(0).float() / 255.0


@torch.inference_mode()
def golden_answer(net: nn.Module) -> list[float]:
    """Every 8th pixel of the output for `golden_input()`, from (3, 5), channel by channel, in float32, to 5 digits.

    `net` is in `eval()` mode and float32; it may be on any device.
    """
    device = next(net.parameters()).device
    output: Tensor = net(golden_input().to(device))
    return [round(value, 5) for value in output[0, :, 3::8, 5::8].flatten().tolist()]


def golden_distance(expected: list[float], answer: list[float]) -> float:
    """The largest difference between two answers; infinite where they differ in length or hold a NaN."""
    if len(expected) != len(answer):
        return float("inf")
    differences = [abs(a - b) for a, b in zip(expected, answer, strict=True)]
    return float("inf") if any(map(math.isnan, differences)) else max(differences)
