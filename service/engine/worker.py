"""A worker: takes batches from the scheduler and computes them on one device. Networks run nowhere else."""

import copy
import logging
import math
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import nullcontext
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from torch import nn

from nets.banded.bands import Steps
from nets.banded.run import band_pixels_for, compute
from nets.banded.style import can_stylize, stylize
from nets.pixels import Picture
from nets.style_trunk import StyleTrunkNet, share_trunk, with_style
from nets.tiling import cut
from service.engine.batch import Batch, BatchItem
from service.engine.cost import CostModel
from service.engine.failures import is_fatal, is_out_of_memory
from service.engine.precision import DTYPES, Precision
from service.engine.runtime import Runtime
from service.engine.scheduler import Scheduler
from service.engine.threads import ThreadBudget, use_threads
from service.engine.tiling_plan import TilingLimits
from service.errors import InferenceError, UnavailableError
from service.memory import give_back
from service.observability.tracing import batch as batch_span

log = logging.getLogger(__name__)

Result = TypeVar("Result")

_LARGE_PIXELS = 4_000_000
_MAX_PREEMPTION_DEPTH = 4
"""Passes that preempt each other. Each of them keeps its feature maps in memory."""

_GIVE_BACK_SECONDS = 10.0
"""The interval at which free memory is returned to the system: without it, 600 pictures of new sizes used 200 MB more
than 300."""


class _NotNeededError(Exception):
    """No task of a batch is needed any more."""


class Worker:
    """Computes batches on one device, in one precision, on one Python thread.

    The main worker has all threads of the device that no side worker has taken. A side worker has one thread, and
    computes only while more than one window waits. Tasks side by side do not wait for each other at barriers. A single
    task, and a task that preempts, has the whole CPU.

    A batch that fails is computed again item by item, so that an error concerns one task only. After an out-of-memory
    error, less is computed at once. A fatal error ends the worker: it fails all tasks and calls `on_fatal`.
    """

    def __init__(
        self,
        device: torch.device,
        precision: Precision,
        threads: ThreadBudget,
        scheduler: Scheduler,
        costs: CostModel,
        limits: TilingLimits,
        on_fatal: Callable[[str], None],
        is_side_worker: bool = False,
        runtime: Runtime | None = None,
    ) -> None:
        """runtime: computes what it can in place of torch."""
        self._runtime = runtime
        self.device, self.precision, self._threads, self._is_side_worker = device, precision, threads, is_side_worker
        self._threads_in_use = 1 if is_side_worker else threads.count
        self._preemption_depth = 0
        self._ready = threading.Event()
        self._scheduler, self._costs, self._limits, self._on_fatal = scheduler, costs, limits, on_fatal
        self._nets: weakref.WeakKeyDictionary[nn.Module, nn.Module] = weakref.WeakKeyDictionary()
        self._converted: weakref.WeakSet[nn.Module] = weakref.WeakSet()
        self._thread = threading.Thread(target=self._serve, name=f"worker-{device}", daemon=True)

    def start(self) -> None:
        """Start the thread and wait until it is ready to take batches."""
        self._thread.start()
        self._ready.wait()

    @property
    def alive(self) -> bool:
        """Whether the thread takes batches."""
        return self._thread.is_alive()

    def join(self) -> None:
        """Wait until the scheduler is closed and empty."""
        if self._thread.ident is not None:
            self._thread.join()

    def _serve(self) -> None:
        given_back = time.monotonic()
        use_threads(self._threads_in_use)
        self._ready.set()
        take = self._scheduler.take_beside if self._is_side_worker else self._scheduler.take
        try:
            while (batch := take()) is not None:
                with self._threads.take_one() if self._is_side_worker else nullcontext():
                    self._compute(batch)
                large = batch.pixels > _LARGE_PIXELS
                del batch  # do not keep its pictures alive while waiting
                if (large and self._scheduler.idle) or time.monotonic() - given_back > _GIVE_BACK_SECONDS:
                    if self._runtime is not None:
                        self._runtime.release_memory()
                    give_back()
                    given_back = time.monotonic()
        except BaseException as error:
            log.critical("device lost", exc_info=error, extra={"device": str(self.device)})
            self._scheduler.fail_all(UnavailableError("the device failed; the service restarts", {"Retry-After": "5"}))
            self._on_fatal(f"{self.device}: {error}")

    def _compute(self, batch: Batch) -> None:
        try:
            if batch.items[0].window is None:
                self._compute_reduced_pass(batch, batch.items[0])
            else:
                pictures: list[Picture] = [
                    np.ascontiguousarray(cut(item.task.picture, item.window)) for item in batch.items if item.window
                ]
                outputs, seconds, device_seconds = self._run(batch, self._steps(batch, pictures))
                self._costs.observe(batch.model.label, batch.pixels, device_seconds)
                for item, output in zip(batch.items, outputs, strict=True):
                    if isinstance(output, Exception):
                        _log_failure(item, output)
                self._scheduler.complete(batch, outputs, seconds)
        except _NotNeededError:
            return
        except Exception as error:
            if is_fatal(error):
                raise
            self._handle_failure(batch, error)

    def _handle_failure(self, batch: Batch, error: Exception) -> None:
        if len(batch.items) > 1:
            if is_out_of_memory(error):
                self._limits.halve_batches(batch.pixels)
            log.warning("batch failed, computing its items one by one", exc_info=error)
            for item in batch.items:
                self._compute(Batch(item.task.model, [item]))
        elif is_out_of_memory(error):
            self._divide(batch.items[0])
        else:
            _log_failure(batch.items[0], error)
            self._scheduler.fail(batch.items[0], error)

    def _divide(self, item: BatchItem) -> None:
        """Restart the task of an item that ran out of memory in smaller windows, or fail it if that is impossible."""
        facts = item.task.model.facts
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        try:
            height, width = item.task.picture.shape[:2]
            pixels = item.pixels if item.window is not None else math.prod(self._limits.reduced_size(height, width))
            self._limits.halve(facts, pixels)
        except InferenceError as error:
            self._scheduler.fail(item, error)
            return
        log.warning("out of memory, reduced the tile size", extra={"tile_pixels": self._limits.tile_pixels})
        self._scheduler.restart(item, self._limits.plan(facts, height, width))

    def _steps(self, batch: Batch, pictures: list[Picture]) -> Steps[list[Picture | Exception]]:
        item = batch.items[0]
        if not item.plan.reduced or item.window is None:
            if self._runtime is not None:
                steps = self._runtime.steps([item.task.model for item in batch.items], pictures)
                if steps is not None:
                    return steps
            return compute([self._on_device(item.task.model.net) for item in batch.items], pictures, self.device)
        return _tile_steps(self._on_device(batch.model.net), item, pictures[0], self.device)

    def _compute_reduced_pass(self, batch: Batch, item: BatchItem) -> None:
        """Compute the instance norm statistics of a reduced copy, for the tiles (thumbnail instance normalisation)."""
        height, width = self._limits.reduced_size(*item.task.picture.shape[:2])
        size = max(1, width), max(1, height)
        smaller = np.asarray(Image.fromarray(item.task.picture).resize(size, Image.Resampling.BOX, reducing_gap=2.0))
        net = self._on_device(batch.model.net)
        if not can_stylize(net, *smaller.shape[:2]):
            raise InferenceError("the reduced picture is too small for this network")
        stylized, seconds, _ = self._run(batch, stylize(net, smaller, self.device, band_pixels_for(self.device)))
        self._scheduler.complete_reduced_pass(item, stylized.statistics, seconds)

    def _run(self, batch: Batch, steps: Steps[Result]) -> tuple[Result, float, float]:
        """Run all steps inside a tracing span. Returns what `_run_steps` returns."""
        spans = [item.task.span for item in batch.items]
        size = {"items": len(batch.items), "pixels": batch.pixels}
        with batch_span(spans, model=batch.model.label, device=str(self.device), **size):
            return self._run_steps(batch, steps)

    def _run_steps(self, batch: Batch, steps: Steps[Result]) -> tuple[Result, float, float]:
        """Run all steps; between two steps, preempt or yield. Raises _NotNeededError if no task is needed any more.

        Returns the result, its seconds, and the seconds that it would have taken with all threads of the device.
        """
        seconds, device_seconds, done = 0.0, 0.0, False
        dtype = DTYPES[self.precision]
        while True:
            self._adjust_threads()
            start = time.perf_counter()
            try:
                # the modes are set for each step, so that a preempting batch does not inherit them
                with torch.inference_mode(), torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32):
                    next(steps)
            except StopIteration as end:
                result: Result = end.value
                done = True
            elapsed = time.perf_counter() - start
            seconds += elapsed
            device_seconds += elapsed * self._threads_in_use / self._threads.count
            if done:
                return result, seconds, device_seconds
            if not batch.needed:
                raise _NotNeededError
            self._pause(batch)

    def _pause(self, batch: Batch) -> None:
        """Between two bands: a side worker yields, the main worker computes what preempts the batch."""
        if self._is_side_worker:
            self._threads.yield_if_reserved()
            self._scheduler.yield_to_others(batch, self._threads.given_back())
            return
        if self._preemption_depth == _MAX_PREEMPTION_DEPTH:
            return
        if (preempting := self._scheduler.take_preempting(batch)) is not None:
            self._preempt_with(preempting)

    def _preempt_with(self, batch: Batch) -> None:
        self._preemption_depth += 1
        try:
            with self._threads.reserve_all() if self._preemption_depth == 1 else nullcontext():
                self._compute(batch)
        finally:
            self._preemption_depth -= 1

    def _adjust_threads(self) -> None:
        """Use the threads that the side workers have left. No output depends on it (`nets.banded.bands.Moments`)."""
        if not self._is_side_worker and (left := self._threads.left) != self._threads_in_use:
            use_threads(left)
            self._threads_in_use = left

    def _on_device(self, net: nn.Module) -> nn.Module:
        """Return the network on this device: itself on a CPU, else a copy that lives as long as the network.

        The copies of styles of one trunk share its convolutions, as the styles do.
        """
        if self.device.type == "cpu":
            if net not in self._converted:
                net.to(memory_format=torch.channels_last)
                self._converted.add(net)
            return net
        if net not in self._nets:
            trunk = next((placed for known, placed in self._nets.items() if share_trunk(known, net)), None)
            if isinstance(trunk, StyleTrunkNet) and isinstance(net, StyleTrunkNet):
                self._nets[net] = with_style(trunk, net)
            else:
                self._nets[net] = copy.deepcopy(net).to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return self._nets[net]


def _tile_steps(
    net: nn.Module, item: BatchItem, picture: Picture, device: torch.device
) -> Steps[list[Picture | Exception]]:
    """Compute a tile with the statistics of the reduced pass."""
    window, statistics = item.window, item.task.statistics
    assert window is not None
    assert isinstance(statistics, list)
    if not can_stylize(net, *picture.shape[:2]):
        return [InferenceError("a tile is too small for this network")]
    corner = window.top, window.left
    stylized = yield from stylize(net, picture, device, band_pixels_for(device), statistics, corner)
    return [stylized.picture]


def _log_failure(item: BatchItem, error: Exception) -> None:
    span = item.task.span
    extra = {"request_id": item.task.request_id, "trace_id": span.trace_id if span else None}
    log.error("the network failed on a picture", exc_info=error, extra=extra)
