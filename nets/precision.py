"""Whether a CPU computes in bfloat16. Training and serving choose their precision by the same rule."""

import time
from functools import cache
from pathlib import Path
from typing import Literal

import torch
from torch import nn

_FEATURES = ("amx_bf16", "avx512_bf16", "bf16")
"""As Linux calls them in /proc/cpuinfo, the quickest first: x86 with AMX, x86 with AVX-512, ARM."""

_RUNS = 5
_TOLERATED = 1.25
"""bfloat16 takes 0.3 to 0.7 times as long where the instructions are real. The limit is far from that, so that a busy
machine gives the same answer at every start."""


@cache
def cpu_bfloat16() -> str | None:
    """Return the CPU's feature for bfloat16 arithmetic; None if it has none."""
    try:
        words = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:  # not Linux
        capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
        words = {name for name, value in capabilities.items() if value is True}
    return next((feature for feature in _FEATURES if feature in words), None)


@cache
def cpu_precision() -> Literal["fp32", "bf16"]:
    """Return "bf16" where the CPU has instructions for it that are not slower than float32, else "fp32".

    Without such instructions nothing is measured. With them, a measurement only guards against a virtual machine that
    announces instructions which it emulates.
    """
    if cpu_bfloat16() is None:
        return "fp32"
    best = {torch.float32: float("inf"), torch.bfloat16: float("inf")}
    for _ in range(_RUNS):  # in turns, so that what else the machine does meets both
        for dtype, seconds in best.items():
            best[dtype] = min(seconds, _convolution_seconds(dtype))
    return "bf16" if best[torch.bfloat16] < _TOLERATED * best[torch.float32] else "fp32"


@torch.inference_mode()
def _convolution_seconds(dtype: torch.dtype) -> float:
    """Return the processor time of one typical convolution, in seconds; the time of other processes does not count."""
    convolution = nn.Conv2d(64, 64, 3).to(dtype).to(memory_format=torch.channels_last)
    x = torch.zeros(1, 64, 128, 128, dtype=dtype).contiguous(memory_format=torch.channels_last)
    convolution(x)
    start = time.process_time()
    convolution(x)
    return time.process_time() - start
