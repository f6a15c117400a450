"""Which devices compute, in which precision, and what a batch is worth on them. Measured at start where it must be."""

import logging
import time
from typing import Literal

import torch
from torch import nn

from nets.banded.bands import run_to_end
from nets.banded.run import compute, pattern_picture
from nets.pixels import Picture
from nets.precision import cpu_precision
from service.engine.worker import Precision
from service.errors import StartupError

log = logging.getLogger(__name__)

_PROBE_SIDE = {"cpu": 96, "cuda": 192}
"""A CPU gains by a batch, if at all, where pictures are tiny; and whoever starts waits for these passes."""

_PROBE_RUNS = 3
_WORTH_BATCHING = 0.9
_MOST_BATCH_PIXELS = 2**21
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_devices(asked: str) -> list[torch.device]:
    """`auto` is every CUDA device, else the CPU. Raises StartupError for a device that is not there."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if asked == "auto":
        return [torch.device(f"cuda:{index}") for index in range(count)] or [torch.device("cpu")]
    devices = [torch.device(name) for name in asked.split(",")]
    for device in devices:
        if device.type == "cuda" and (device.index or 0) >= count:
            raise StartupError(
                f"IMPASTO_DEVICE={asked}: this machine shows {count} CUDA devices; expected auto, cpu or those"
            )
    if len({device.type for device in devices}) > 1:
        raise StartupError(f"IMPASTO_DEVICE={asked}: expected devices of one kind, for they share one precision")
    return devices


def memory_bytes(device: torch.device) -> int:
    """What torch holds of a GPU's memory."""
    return torch.cuda.memory_reserved(device)


def refuse_precision(asked: str, device: torch.device) -> None:
    """Raise StartupError for a precision that the device does not have."""
    if asked == "fp16" and device.type == "cpu":
        raise StartupError("IMPASTO_PRECISION=fp16: a CPU has no fast fp16; expected auto, fp32 or bf16")


def choose_precision(asked: Literal["auto", "fp32", "bf16", "fp16"], device: torch.device) -> Precision:
    """Return what was asked for; "auto" on a CPU goes by its instructions (nets.precision)."""
    if asked != "auto":
        return asked
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    return cpu_precision()


def worthwhile_batch_pixels(net: nn.Module, device: torch.device, precision: Precision, most_items: int) -> int:
    """Up to how many pixels a pass gains by more items: doubled as long as each item then costs a tenth less.

    0 where not even two small pictures gain, as on most CPUs.
    """
    items, best, each_pixels = 1, _seconds(net, device, precision, 1), _PROBE_SIDE[device.type] ** 2
    while 2 * items <= most_items and 2 * items * each_pixels <= _MOST_BATCH_PIXELS:
        each = _seconds(net, device, precision, 2 * items) / (2 * items)
        if each > _WORTH_BATCHING * best:
            break
        items, best = 2 * items, each
    return items * each_pixels if items > 1 else 0


def _seconds(net: nn.Module, device: torch.device, precision: Precision, items: int) -> float:
    """The best of three passes over small pictures, after one to warm up; none is infinitely slow."""
    side = _PROBE_SIDE[device.type]
    pictures: list[Picture] = [pattern_picture(side, side)] * items
    best = float("inf")
    placed = net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    with torch.inference_mode(), torch.autocast(device.type, _DTYPES[precision], enabled=precision != "fp32"):
        for run in range(1 + _PROBE_RUNS):
            start = time.perf_counter()
            try:
                run_to_end(compute(placed, pictures, device))
            except Exception:  # a network that cannot run is refused when it is warmed up
                log.exception("a trial failed")
                return best
            best = min(best, time.perf_counter() - start) if run else best
    return best
