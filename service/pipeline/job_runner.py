"""Works on the jobs of a shared store, in each replica: starts jobs, extends their leases, and stores their results."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

from service.engine.task import Task
from service.errors import UnavailableError
from service.jobs.record import Facts, Lease, Outcome
from service.jobs.redis_store import RedisStore
from service.observability.metrics import Metrics
from service.pipeline.progress import Progress
from service.settings import Settings

log = logging.getLogger(__name__)

Compute = Callable[[Lease, Progress], Awaitable[Outcome | None]]
"""Computes a job. None: this replica cannot compute any more, and another shall."""

_TICK_SECONDS, _SWEEP_SECONDS, _PAUSE_SECONDS = 0.2, 1.0, 0.5
_ROOM_SECONDS = 1.0


@dataclass(eq=False)
class _Active:
    """A job that this replica has started. computed: its result only has to be stored."""

    lease: Lease
    progress: Progress = field(default_factory=Progress)
    task: "asyncio.Task[None] | None" = None
    computed: bool = False


class JobRunner:
    """The worker of one replica. Use it on the event loop only."""

    def __init__(
        self,
        settings: Settings,
        store: RedisStore,
        compute: Compute,
        is_open: Callable[[], bool],
        seconds_queued: Callable[[], float],
        ahead: Callable[[Task], int],
        metrics: Metrics,
    ) -> None:
        """seconds_queued: predicts how long the devices are busy. ahead: counts the tasks before a given one."""
        self._store, self._compute, self._is_open, self._ahead = store, compute, is_open, ahead
        self._seconds_queued, self._metrics = seconds_queued, metrics
        self._most, self._lease_seconds = settings.max_jobs_running, settings.job_lease_seconds
        self._active: dict[str, _Active] = {}
        self._woken = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None
        self._stopped = False
        self._sweep_at = 0.0
        self._take_over_at = 0.0

    def start(self) -> None:
        """Begin to start jobs, once the service is open. Leases that ended while nobody could extend them go on."""
        self._distrust_leases()
        self._loop = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Stop all work; jobs whose result is not stored go back to the queue."""
        self._stopped = True
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
        await self._release(list(self._active.values()))

    @property
    def busy(self) -> bool:
        """Whether there is a job whose result is not stored."""
        return bool(self._active)

    def wake(self) -> None:
        """Look for jobs at once."""
        self._woken.set()

    def cancel(self, identity: str) -> None:
        """Stop the work on a job, if it is done here. Its lease ends elsewhere."""
        if (active := self._active.get(identity)) is not None and active.task is not None:
            active.task.cancel()

    async def pause(self, identity: str, seconds: float) -> None:
        """Wait for `seconds`, or until the work on the job ends here."""
        active = self._active.get(identity)
        if active is None or active.task is None:
            await asyncio.sleep(seconds)
        else:
            await asyncio.wait({active.task}, timeout=seconds)

    async def _run(self) -> None:
        while not self._stopped:  # redis calls wait_for, which may lose a cancellation before Python 3.12
            seconds = _TICK_SECONDS
            try:
                await self._tick()
            except UnavailableError:
                self._distrust_leases()
                seconds = _PAUSE_SECONDS
            except Exception:
                log.exception("unforeseen")
                seconds = _PAUSE_SECONDS
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._woken.wait()
            self._woken.clear()

    async def _tick(self) -> None:
        if self._active:
            progress = {(each.lease.job.identity, each.lease.job.attempt): self._facts(each) for each in self._jobs}
            for identity in await self._store.report(progress):
                self.cancel(identity)
        if not self._is_open():
            await self._release([each for each in self._jobs if not (each.progress.begun or each.computed)])
        else:
            await self._start_jobs()
        if time.monotonic() > self._sweep_at:
            counts = await self._store.sweep()
            self._metrics.async_jobs.labels("unfinished").set(counts.queued + counts.running)
            self._metrics.async_jobs.labels("finished").set(counts.finished)
            self._metrics.async_job_bytes.set(counts.bytes)
            self._metrics.async_jobs_waiting.set(counts.queued)
            self._metrics.async_oldest_seconds.set(counts.oldest_seconds)
            self._metrics.webhooks_waiting.set(counts.messages)
            self._sweep_at = time.monotonic() + _SWEEP_SECONDS

    async def _start_jobs(self) -> None:
        while self._has_room():
            lease = await self._store.start(take_over=time.monotonic() > self._take_over_at)
            if lease is None:
                return
            self.cancel(lease.job.identity)  # an older lease, which has ended
            active = _Active(lease)
            self._active[lease.job.identity] = active
            active.task = asyncio.create_task(self._work(active))

    def _has_room(self) -> bool:
        """Tell whether to start another job: always if there is none; otherwise if the devices are soon free."""
        predicted = sum(each.lease.job.cost_seconds for each in self._jobs)
        free = max(predicted, self._seconds_queued()) < _ROOM_SECONDS
        return not self._active or (len(self._active) < self._most and free)

    async def _work(self, active: _Active) -> None:
        job = active.lease.job
        try:
            outcome = await self._compute(active.lease, active.progress)
            active.computed = True
            if outcome is not None and await self._finish(active, outcome):
                self._metrics.async_jobs_finished.labels(outcome.state).inc()
                refused = outcome.facts["code"] if outcome.state == "failed" else None
                log.info("job", extra={"state": outcome.state, "refused": refused, "bytes": outcome.size_bytes})
        finally:
            if self._active.get(job.identity) is active:
                del self._active[job.identity]
            self.wake()

    async def _finish(self, active: _Active, outcome: Outcome) -> bool:
        """Store the outcome, as soon as the store responds."""
        job = active.lease.job
        while True:
            try:
                return await self._store.finish(job.identity, job.attempt, outcome)
            except UnavailableError:
                self._distrust_leases()
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _release(self, jobs: list[_Active]) -> None:
        """Put jobs back into the queue. If the store does not respond, their leases end by themselves."""
        tasks = [each.task for each in jobs if each.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with suppress(UnavailableError):
            for each in jobs:
                await self._store.release(each.lease.job.identity, each.lease.job.attempt)

    def _distrust_leases(self) -> None:
        """Take no job over for the length of a lease: while the store was down, its live workers could not report."""
        self._take_over_at = time.monotonic() + self._lease_seconds

    def _facts(self, active: _Active) -> Facts:
        progress, begun = active.progress, active.progress.begun
        left = progress.seconds_left
        return {
            "begun": begun,
            "position": 1 + self._ahead(progress.task) if progress.task is not None and not begun else None,
            "tiles_done": progress.tiles_done,
            "tiles_total": progress.tiles_total,
            "ends": None if left is None else time.time() + left,
        }

    @property
    def _jobs(self) -> list[_Active]:
        return list(self._active.values())
