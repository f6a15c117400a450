"""The precision that Impasto chooses on this CPU. Whatever a benchmark compares with Impasto computes in it, too."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from nets.precision import cpu_precision

MEAN_LEVELS = {"fp32": 1.0, "bf16": 6.0}
"""The largest mean difference from the expected image, in levels of 255, by precision. Another order of sums moves one
value in forty by a level in fp32; bf16 makes a mean of 0.3 levels in `mosaic` (benchmarks/precision.py). JPEG enlarges
both: the first becomes a mean of 0.7."""


@contextmanager
def inference(precision: str | None = None) -> Iterator[None]:
    """Compute networks as the service does on a CPU; precision: "fp32" or "bf16", by default the chosen one."""
    reduced = (precision or cpu_precision()) == "bf16"
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=reduced):
        yield
