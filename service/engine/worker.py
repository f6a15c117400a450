"""A device: the only place where networks run. One thread, so that a forward pass never competes with another."""

import copy
import logging
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import nullcontext
from typing import Literal, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import nn

from nets.banded.bands import Steps
from nets.banded.run import band_pixels_for, compute
from nets.banded.style import can_stylize, stylize
from nets.pixels import Picture
from nets.tiling import cut
from service.engine.batch import Batch, Piece
from service.engine.cost import CostModel
from service.engine.scheduler import Scheduler
from service.engine.task import Limits
from service.engine.threads import SharedThreads, claim_threads
from service.errors import InferenceError, UnavailableError
from service.memory import give_back
from service.observability.tracing import batch as batch_span

log = logging.getLogger(__name__)

Result = TypeVar("Result")
Precision = Literal["fp32", "bf16", "fp16"]

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_LARGE_PIXELS = 4_000_000
_MOST_BEGUN = 4
"""Passes that one interrupts the other; each of them holds its maps."""
_GIVE_BACK_SECONDS = 10.0
"""Pictures of ever new sizes leave holes: without this, 600 of them cost 200 MB more than 300."""
_NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")


class _Unwanted(Exception):  # noqa: N818  # not an error
    """Everybody who waited for a pass has left."""


class Worker:
    """Takes batches from the scheduler and computes them on one device, in one precision, on one thread of Python's.

    Its convolutions have all of the device's `threads` that no companion has; a companion has one, and computes only
    while more than one piece waits: side by side, pictures wait for no barrier, and one alone has the whole CPU, as
    has who interrupts.

    An error is its batch's alone, and a batch that fails is computed again one by one, so that it is one item's alone.
    Where the memory was not enough, less is computed at once from then on. What kills the device kills the worker:
    `on_fatal` hears of it, and no job is left waiting.
    """

    def __init__(
        self,
        device: torch.device,
        precision: Precision,
        threads: SharedThreads,
        scheduler: Scheduler,
        costs: CostModel,
        limits: Limits,
        on_fatal: Callable[[str], None],
        companion: bool = False,
    ) -> None:
        self.device, self.precision, self._threads, self._companion = device, precision, threads, companion
        self._claimed = 1 if companion else threads.count
        self._depth = 0
        self._ready = threading.Event()
        self._scheduler, self._costs, self._limits, self._on_fatal = scheduler, costs, limits, on_fatal
        self._nets: weakref.WeakKeyDictionary[nn.Module, nn.Module] = weakref.WeakKeyDictionary()
        self._placed: weakref.WeakSet[nn.Module] = weakref.WeakSet()
        self._thread = threading.Thread(target=self._serve, name=f"worker-{device}", daemon=True)

    def start(self) -> None:
        """Begin to take batches."""
        self._thread.start()
        self._ready.wait()

    @property
    def alive(self) -> bool:
        """Whether batches are taken."""
        return self._thread.is_alive()

    def join(self) -> None:
        """Wait until the scheduler has no more."""
        if self._thread.ident is not None:
            self._thread.join()

    def _serve(self) -> None:
        given_back = time.monotonic()
        claim_threads(self._claimed)
        self._ready.set()
        try:
            while (batch := self._scheduler.take(beside=self._companion)) is not None:
                with self._threads.lend_one() if self._companion else nullcontext():
                    self._compute(batch)
                large = batch.pixels > _LARGE_PIXELS
                del batch  # while it waits, it holds no picture
                if (large and self._scheduler.idle) or time.monotonic() - given_back > _GIVE_BACK_SECONDS:
                    give_back()
                    given_back = time.monotonic()
        except BaseException as error:
            log.critical("the device is lost", exc_info=error, extra={"device": str(self.device)})
            self._scheduler.fail_all(UnavailableError("the device failed; the service restarts", {"Retry-After": "5"}))
            self._on_fatal(f"{self.device}: {error}")

    def _compute(self, batch: Batch) -> None:
        try:
            if batch.pieces[0].window is None:
                self._reduced(batch, batch.pieces[0])
            else:
                pictures: list[Picture] = [
                    np.ascontiguousarray(cut(p.job.picture, p.window)) for p in batch.pieces if p.window
                ]
                answers, seconds, device_seconds = self._run(batch, self._steps(batch, pictures))
                self._costs.observe(batch.model.label, batch.pixels, device_seconds)
                for piece, answer in zip(batch.pieces, answers, strict=True):
                    if isinstance(answer, Exception):
                        log.error("the network failed on a picture", exc_info=answer, extra=_whose(piece))
                self._scheduler.done(batch, answers, seconds)
        except _Unwanted:
            return
        except Exception as error:
            if _is_fatal(error):
                raise
            self._after_failure(batch, error)

    def _after_failure(self, batch: Batch, error: Exception) -> None:
        if len(batch.pieces) > 1:
            if _is_out_of_memory(error):
                self._limits.halve_batches(batch.pixels)
            log.warning("a batch failed, its items are computed one by one", exc_info=error)
            for piece in batch.pieces:
                self._compute(Batch(batch.model, [piece]))
            return
        piece, facts = batch.pieces[0], batch.model.facts
        if not _is_out_of_memory(error):
            log.error("the network failed on a picture", exc_info=error, extra=_whose(piece))
            self._scheduler.done(batch, [error], 0.0) if piece.window else self._scheduler.again(piece, error)
            return
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        try:
            self._limits.halve(facts, batch.pixels)
        except InferenceError as refusal:
            self._scheduler.again(piece, refusal)
            return
        log.warning("out of memory: less at once from now on", extra={"tile_pixels": self._limits.tile_pixels})
        height, width = piece.job.picture.shape[:2]
        self._scheduler.again(piece, self._limits.plan(facts, height, width))

    def _steps(self, batch: Batch, pictures: list[Picture]) -> Steps[list[Picture | Exception]]:
        net, piece = self._on_device(batch.model.net), batch.pieces[0]
        if not piece.plan.reduced or piece.window is None:
            return compute(net, pictures, self.device)
        return _tile(net, piece, pictures[0], self.device)

    def _reduced(self, batch: Batch, piece: Piece) -> None:
        """The statistics of a reduced picture, for the tiles of a large one (thumbnail instance normalisation)."""
        height, width = piece.job.picture.shape[:2]
        share = (self._limits.whole_pixels / (height * width)) ** 0.5
        size = max(1, int(width * share)), max(1, int(height * share))
        smaller = np.asarray(Image.fromarray(piece.job.picture).resize(size, Image.Resampling.BOX, reducing_gap=2.0))
        net = self._on_device(batch.model.net)
        if not can_stylize(net, *smaller.shape[:2]):
            raise InferenceError("the reduced picture is too small for this network")
        stylized, seconds, _ = self._run(batch, stylize(net, smaller, self.device, band_pixels_for(self.device)))
        self._scheduler.reduced(piece, stylized.statistics, seconds)

    def _run(self, batch: Batch, steps: Steps[Result]) -> tuple[Result, float, float]:
        """Run to the end as `_stepped` does, as a span of its own."""
        spans = [piece.job.span for piece in batch.pieces]
        size = {"items": len(batch.pieces), "pixels": batch.pixels}
        with batch_span(spans, model=batch.model.label, device=str(self.device), **size):
            return self._stepped(batch, steps)

    def _stepped(self, batch: Batch, steps: Steps[Result]) -> tuple[Result, float, float]:
        """Run to the end; between two steps let pass who is much smaller, and stop where nobody waits any more.

        Returns the answer, its seconds, and how many they would have been with all of the device's threads.
        """
        seconds, device_seconds, done = 0.0, 0.0, False
        dtype = _DTYPES[self.precision]
        while True:
            self._share_threads()
            start = time.perf_counter()
            try:
                # For each step anew: what interrupts it must not find its modes.
                with torch.inference_mode(), torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32):
                    next(steps)
            except StopIteration as end:
                answer: Result = end.value
                done = True
            elapsed = time.perf_counter() - start
            seconds += elapsed
            device_seconds += elapsed * self._claimed / self._threads.count
            if done:
                return answer, seconds, device_seconds
            if not batch.wanted:
                raise _Unwanted
            if self._companion:
                self._threads.let_pass()
                self._scheduler.give_way(batch, self._threads.given_back())
            elif self._depth < _MOST_BEGUN and (smaller := self._scheduler.take(instead_of=batch)) is not None:
                self._interrupt(smaller)

    def _interrupt(self, batch: Batch) -> None:
        self._depth += 1
        try:
            with self._threads.all_for() if self._depth == 1 else nullcontext():
                self._compute(batch)
        finally:
            self._depth -= 1

    def _share_threads(self) -> None:
        """Compute with what the companions have left. See `nets.banded.bands.Moments`: no bit depends on it."""
        if not self._companion and (left := self._threads.left) != self._claimed:
            claim_threads(left)
            self._claimed = left

    def _on_device(self, net: nn.Module) -> nn.Module:
        """The network on this device: itself on a CPU, else a copy, which goes when it goes."""
        if self.device.type == "cpu":
            if net not in self._placed:
                net.to(memory_format=torch.channels_last)
                self._placed.add(net)
            return net
        if net not in self._nets:
            self._nets[net] = copy.deepcopy(net).to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return self._nets[net]


def _tile(net: nn.Module, piece: Piece, picture: Picture, device: torch.device) -> Steps[list[Picture | Exception]]:
    """A tile of a picture whose statistics are known."""
    window, statistics = piece.window, piece.job.statistics
    assert window is not None
    assert isinstance(statistics, list)
    if not can_stylize(net, *picture.shape[:2]):
        return [InferenceError("a tile is too small for this network")]
    stylized = yield from stylize(net, picture, device, band_pixels_for(device), statistics, (window.top, window.left))
    return [stylized.picture]


def _whose(piece: Piece) -> dict[str, object]:
    span = piece.job.span
    return {"request_id": piece.job.request_id, "trace_id": span.trace_id if span else None}


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _NO_MEMORY)


def _is_fatal(error: Exception) -> bool:
    """Whether the device can do nothing more: a CUDA context that has seen an error never recovers."""
    if _is_out_of_memory(error):
        return False
    return isinstance(error, torch.AcceleratorError) or (isinstance(error, RuntimeError) and "CUDA error" in str(error))
