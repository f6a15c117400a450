"""Groups compatible jobs while the device is busy. Knows no torch: it receives the function that runs a batch."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from service.errors import InferenceError, UnavailableError

log = logging.getLogger(__name__)

Key = TypeVar("Key", bound=Hashable)
ObservedKey_contra = TypeVar("ObservedKey_contra", contravariant=True)
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass
class Timing:
    """Where a job's time went, in seconds."""

    queue_seconds: float = 0.0
    forward_seconds: float = 0.0


@dataclass(eq=False)
class _Job(Generic[Key, Item, Result]):
    key: Key
    item: Item
    pixels: int
    future: "asyncio.Future[Result]"
    entered: float
    timing: Timing = field(default_factory=Timing)


class QueueObserver(Protocol[ObservedKey_contra]):
    """Hears what the queue does; the metrics do."""

    def queued(self, key: ObservedKey_contra, jobs: int, pixels: int) -> None:
        """`jobs` and `pixels` entered (or, negative, left) the queue."""

    def batched(self, items: int, pixels: int) -> None:
        """A batch goes to the device."""


class Batcher(Generic[Key, Item, Result]):
    """One queue before one device.

    Work-conserving: the device never waits for a batch to fill. While it is busy, jobs with the same key (one model,
    one shape) as the oldest one gather, and go together when it is free, at most `max_items` of them.
    """

    def __init__(
        self,
        run: Callable[[Key, list[Item]], Awaitable[Sequence[Result | Exception]]],
        max_items: int,
        observer: QueueObserver[Key],
    ) -> None:
        self._run, self._max_items, self._observer = run, max_items, observer
        self._in_hand: list[_Job[Key, Item, Result]] = []
        self._queue: deque[_Job[Key, Item, Result]] = deque()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to serve the queue, on the running event loop."""
        self._task = asyncio.create_task(self._serve(), name="batcher")

    async def stop(self) -> None:
        """Stop serving; jobs still in the queue, or in hand, fail."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @property
    def alive(self) -> bool:
        """Whether anything serves the queue."""
        return self._task is not None and not self._task.done()

    async def submit(self, key: Key, item: Item, pixels: int) -> tuple[Result, Timing]:
        """The result for `item`, or InferenceError. A cancelled caller leaves the queue.

        Raises UnavailableError where nothing serves the queue, or it stops before the result is there.
        """
        if not self.alive:
            raise _stopped()
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        job = _Job(key, item, pixels, future, time.perf_counter())
        self._queue.append(job)
        self._observer.queued(key, 1, pixels)
        self._wake.set()
        try:
            return await future, job.timing
        finally:
            if job in self._queue:
                self._leave(job)

    async def _serve(self) -> None:
        try:
            while True:
                await self._wake.wait()
                while self._take_batch():
                    await self._run_batch(self._in_hand)
                self._wake.clear()
        finally:  # whatever ends it, no caller is left waiting
            for job in [*self._in_hand, *self._queue]:
                if not job.future.done():
                    job.future.set_exception(_stopped())

    def _take_batch(self) -> bool:
        """Move the next batch from the queue to `_in_hand`; whether there is one."""
        key = self._queue[0].key if self._queue else None
        batch = [job for job in self._queue if job.key == key][: self._max_items]
        self._in_hand = [self._leave(job) for job in batch]
        return bool(batch)

    async def _run_batch(self, batch: list[_Job[Key, Item, Result]]) -> None:
        start = time.perf_counter()
        self._observer.batched(len(batch), sum(job.pixels for job in batch))
        results = await self._results(batch[0].key, [job.item for job in batch])
        end = time.perf_counter()
        for job, result in zip(batch, results, strict=True):
            job.timing.queue_seconds, job.timing.forward_seconds = start - job.entered, end - start
            if job.future.done():  # its caller has left
                continue
            if isinstance(result, Exception):
                log.error("the network failed on a picture", exc_info=result)
                job.future.set_exception(InferenceError("the network failed on this picture"))
            else:
                job.future.set_result(result)

    async def _results(self, key: Key, items: list[Item]) -> list[Result | Exception]:
        """A result or error per item: a batch that fails as a whole is halved until the guilty item stands alone."""
        try:
            results = list(await self._run(key, items))
            if len(results) != len(items):
                raise RuntimeError(f"{len(results)} results for {len(items)} items")
        except Exception as error:
            if len(items) == 1:
                return [error]
            log.exception("a batch failed as a whole")
            half = len(items) // 2
            return [*await self._results(key, items[:half]), *await self._results(key, items[half:])]
        return results

    def _leave(self, job: _Job[Key, Item, Result]) -> _Job[Key, Item, Result]:
        self._queue.remove(job)
        self._observer.queued(job.key, -1, -job.pixels)
        return job


def _stopped() -> UnavailableError:
    return UnavailableError("the service is shutting down", {"Retry-After": "5"})
