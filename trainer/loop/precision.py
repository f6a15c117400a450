"""The precision of a training."""

from typing import Literal

import torch

from nets.precision import cpu_precision

Precision = Literal["fp32", "bf16"]


def choose_precision(wanted: Literal["auto", "fp32", "bf16"], device: torch.device) -> Precision:
    """Return `wanted`; for "auto", bfloat16 if the device computes in it (on a CPU, see nets.precision)."""
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    return cpu_precision()
