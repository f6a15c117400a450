"""Chooses the devices, their precision and their batch size, by measurement at the start where necessary."""

import logging
import time
from typing import Literal

import torch
from torch import nn

from nets.banded.bands import run_to_end
from nets.banded.run import compute, pattern_picture
from nets.pixels import Picture
from nets.precision import cpu_precision
from service.engine.precision import DTYPES, Precision
from service.errors import StartupError

log = logging.getLogger(__name__)

_PROBE_SIDE_PX = 192
"""The side of the pictures for trial passes."""

_PROBE_RUNS = 3
_MAX_COST_PER_ITEM = 0.9
_MAX_BATCH_PIXELS = 2**21


def choose_devices(setting: str) -> list[torch.device]:
    """Parse IMPASTO_DEVICE. `auto` is every CUDA device, else the CPU. Raises StartupError for a missing device."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if setting == "auto":
        return [torch.device(f"cuda:{index}") for index in range(count)] or [torch.device("cpu")]
    devices = [torch.device(name) for name in setting.split(",")]
    for device in devices:
        if device.type == "cuda" and (device.index or 0) >= count:
            raise StartupError(
                f"IMPASTO_DEVICE={setting}: this machine shows {count} CUDA devices; expected auto, cpu or one of them"
            )
    if len({device.type for device in devices}) > 1:
        raise StartupError(f"IMPASTO_DEVICE={setting}: expected devices of one type, because they share one precision")
    return devices


def memory_bytes(device: torch.device) -> int:
    """Return the bytes of a GPU's memory that torch has reserved."""
    return torch.cuda.memory_reserved(device)


def check_precision(setting: str, device: torch.device) -> None:
    """Raise StartupError for a precision that the device does not support."""
    if setting == "fp16" and device.type == "cpu":
        raise StartupError("IMPASTO_PRECISION=fp16: a CPU has no fast fp16; expected auto, fp32 or bf16")


def choose_precision(setting: Precision | Literal["auto"], device: torch.device) -> Precision:
    """Return the precision of the setting. "auto" on a CPU depends on its instructions (`nets.precision`)."""
    if setting != "auto":
        return setting
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    return cpu_precision()


def measure_batch_pixels(net: nn.Module, device: torch.device, precision: Precision, max_items: int) -> int:
    """Measure up to how many pixels a batch is faster per item. 0: a batch is never faster.

    The number of items is doubled as long as that makes each item at least a tenth faster.
    """
    items, best, each_pixels = 1, _seconds(net, device, precision, 1), _PROBE_SIDE_PX**2
    while 2 * items <= max_items and 2 * items * each_pixels <= _MAX_BATCH_PIXELS:
        each = _seconds(net, device, precision, 2 * items) / (2 * items)
        if each > _MAX_COST_PER_ITEM * best:
            break
        items, best = 2 * items, each
    return items * each_pixels if items > 1 else 0


def _seconds(net: nn.Module, device: torch.device, precision: Precision, items: int) -> float:
    """Return the fastest of three passes over small pictures, after one to warm up; infinity if the network fails."""
    pictures: list[Picture] = [pattern_picture(_PROBE_SIDE_PX, _PROBE_SIDE_PX)] * items
    best = float("inf")
    placed = net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    with torch.inference_mode(), torch.autocast(device.type, DTYPES[precision], enabled=precision != "fp32"):
        for run in range(1 + _PROBE_RUNS):
            start = time.perf_counter()
            try:
                run_to_end(compute(placed, pictures, device))
            except Exception:  # the warm-up refuses a network that fails
                log.exception("a trial pass failed")
                return best
            best = min(best, time.perf_counter() - start) if run else best
    return best
