"""In what precision a recipe runs."""

import time
from typing import Literal

import torch
from torch import nn

Precision = Literal["fp32", "bf16"]


def choose_precision(wanted: Literal["auto", "fp32", "bf16"], device: torch.device) -> Precision:
    """What was wanted; "auto" is bfloat16 where the device computes in it (CUDA) or a convolution is faster (CPU)."""
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    return "bf16" if _seconds(torch.bfloat16) < 0.8 * _seconds(torch.float32) else "fp32"


@torch.inference_mode()
def _seconds(dtype: torch.dtype) -> float:
    """The best of five runs of one typical convolution on the CPU, in processor time: other work does not count."""
    conv = nn.Conv2d(64, 64, 3).to(dtype).to(memory_format=torch.channels_last)
    x = torch.zeros(1, 64, 128, 128, dtype=dtype).contiguous(memory_format=torch.channels_last)
    best = float("inf")
    for _ in range(5):
        start = time.process_time()
        conv(x)
        best = min(best, time.process_time() - start)
    return best
