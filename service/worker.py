"""The device: the only place where networks run. One thread, so that a forward pass never competes with another."""

import asyncio
import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
import torch

from nets.pixels import Picture, from_network, to_network
from service.errors import StartupError
from service.registry import Model, Registry

log = logging.getLogger(__name__)

Precision = Literal["fp32", "bf16", "fp16"]

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_PROBE_SIDE = 192
_PROBE_RUNS = 3


class Worker:
    """Runs batches on one device, in one precision, on one thread."""

    def __init__(self, registry: Registry, device: str, precision: Literal["auto", "fp32", "bf16", "fp16"]) -> None:
        """Choose the device; raises StartupError where there is none such, or it cannot compute in `precision`."""
        self.device = choose_device(device)
        if precision == "fp16" and self.device.type == "cpu":
            raise StartupError("IMPASTO_PRECISION=fp16: a CPU has no fast fp16; expected auto, fp32 or bf16")
        self._asked = precision
        self.precision: Precision = "fp32"
        self._registry = registry
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"worker-{self.device}")

    async def start(self) -> None:
        """Move every network to the device, settle the precision, run each once. Raises StartupError."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._prepare)

    async def run(self, model: Model, pictures: list[Picture]) -> Sequence[Picture | Exception]:
        """One answer or error per picture, in order: uint8 (H, W, 3), all of one size -> uint8 (sH, sW, 3)."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._forward, model, pictures)

    def stop(self) -> None:
        """Wait for the batch in hand, then end the thread."""
        self._thread.shutdown(wait=True)

    def _prepare(self) -> None:
        models = list(self._registry.models.values())
        for model in models:
            model.net.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.precision = self._choose_precision(list({model.card.task: model for model in models}.values()))
        for model in models:
            result = self._try(model)
            if isinstance(result, Exception):
                reason = f"failed its warm-up on {self.device} in {self.precision}: {result}"
                self._registry.refuse(model.key, reason)
        if not self._registry.models:
            raise StartupError(f"no network passed its warm-up: {self._registry.refused}")
        log.info("worker ready", extra={"device": str(self.device), "precision": self.precision})

    def _choose_precision(self, models: list[Model]) -> Precision:
        """What was asked for; "auto" is measured on a CPU, over one model of each task."""
        if self._asked != "auto":
            return self._asked
        if self.device.type == "cuda":
            return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
        fp32, bf16 = (sum(self._seconds(model, precision) for model in models) for precision in ("fp32", "bf16"))
        log.info("precision measured", extra={"fp32_seconds": round(fp32, 4), "bf16_seconds": round(bf16, 4)})
        return "bf16" if bf16 < fp32 else "fp32"

    def _seconds(self, model: Model, precision: Precision) -> float:
        """The best of three forward passes over a small picture, after one to warm up."""
        self.precision = precision
        best = float("inf")
        for run in range(1 + _PROBE_RUNS):
            start = time.perf_counter()
            self._try(model)
            best = min(best, time.perf_counter() - start) if run else best
        return best

    def _try(self, model: Model) -> Picture | Exception:
        """The answer to a small picture, or what went wrong."""
        try:
            return self._forward(model, [_probe()])[0]
        except Exception as error:  # noqa: BLE001  # a network that cannot run is refused, the others serve
            return error

    @torch.inference_mode()
    def _forward(self, model: Model, pictures: list[Picture]) -> list[Picture | Exception]:
        batch = to_network(pictures, self.device)
        with torch.autocast(self.device.type, _DTYPES[self.precision], enabled=self.precision != "fp32"):
            output = model.net(batch)
        results: list[Picture | Exception] = []
        for item in output.split(1):
            try:
                results += from_network(item)
            except ValueError as error:  # not finite: this picture's failure alone
                results.append(error)
        return results


def choose_device(asked: str) -> torch.device:
    """`auto` is the first CUDA device, else the CPU. Raises StartupError for a device that is not there."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if asked == "auto":
        return torch.device("cuda:0" if count else "cpu")
    device = torch.device(asked)
    if device.type == "cuda" and (device.index or 0) >= count:
        raise StartupError(f"IMPASTO_DEVICE={asked}: this machine shows {count} CUDA devices; expected auto or cpu")
    return device


def _probe() -> Picture:
    """A picture in code: uint8 (192, 192, 3)."""
    y, x, c = np.mgrid[0:_PROBE_SIDE, 0:_PROBE_SIDE, 0:3]
    picture: Picture = ((3 * x + 5 * y + 60 * c) % 256).astype(np.uint8)
    return picture
