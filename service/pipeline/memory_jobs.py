"""Jobs in the memory of this process: the default.

Each job runs as an asyncio task, a few at a time. Settings bound the number of jobs, their bytes (bodies that wait, and
results) and the time that results are kept.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from service.engine.task import Task
from service.errors import AnswerTooLargeError, InternalError, ServiceError
from service.jobs.record import State
from service.jobs.refusals import key_reused, no_room
from service.observability.metrics import Metrics
from service.pipeline.job_store import JobRequest, JobView, may_pass, unknown_job
from service.pipeline.outputs import Write, write_output
from service.pipeline.progress import Progress
from service.pipeline.request import Charge, TransformRequest, TransformResult
from service.pipeline.stored_jobs import delivery_of
from service.settings import Settings
from service.webhooks.outbox import MemoryOutbox

log = logging.getLogger(__name__)

Transform = Callable[[TransformRequest, bytes, Progress, Charge], Coroutine[Any, Any, TransformResult]]
"""Computes the result, and updates the progress: `Pipeline.transform`."""

COLLECTING_SECONDS = 10.0
"""How long a service that shuts down waits for a result to be fetched."""

_POLL_SECONDS = 0.05


@dataclass(eq=False)
class Job:
    """One job. Once it is over, it has a result or an error. finished: on the clock of time.monotonic."""

    identity: str
    request: JobRequest
    size_bytes: int
    progress: Progress = field(default_factory=Progress)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    task: "asyncio.Task[TransformResult] | None" = None
    result: TransformResult | None = None
    error: ServiceError | None = None
    cancelled: bool = False
    fetched: bool = False
    finished: float = 0.0
    expiry: asyncio.TimerHandle | None = None

    @property
    def state(self) -> State:
        """The state; "done", "failed" and "cancelled" are final."""
        if self.cancelled:
            return "cancelled"
        if self.result is not None:
            return "done"
        if self.error is not None:
            return "failed"
        return "running" if self.progress.begun else "queued"

    @property
    def expendable(self) -> bool:
        """Whether nobody needs the job any more: its result was fetched, or it has none."""
        return self.over.is_set() and (self.fetched or self.result is None or self.result.written is not None)


class MemoryJobs:
    """A JobStore for one process. Its jobs end with the process."""

    def __init__(
        self, settings: Settings, transform: Transform, write: Write, ahead: Callable[[Task], int], metrics: Metrics
    ) -> None:
        """write: for outputs. ahead: counts the tasks that the devices take before a given one."""
        self._settings, self._transform, self._ahead, self._metrics = settings, transform, ahead, metrics
        self._write = write
        self.outbox = MemoryOutbox()
        metrics.webhooks_waiting.set_function(lambda: self.outbox.waiting)
        self._jobs: dict[str, Job] = {}
        self._by_key: dict[tuple[str, str], Job] = {}
        self._running = asyncio.Semaphore(settings.max_jobs_running)

    async def accept(self, request: JobRequest, data: bytes, charge: Charge) -> tuple[JobView, bool]:
        """Start a job, or find the one with its key; see JobStore."""
        owned_key = _owned_key(request)
        known = self._by_key.get(owned_key) if owned_key else None
        if known is not None and known.request.fingerprint != request.fingerprint:
            raise key_reused()
        if known is not None and (known.cancelled or (known.error is not None and may_pass(known.error))):
            self._forget(known)
        elif known is not None:
            return self._view(known), False
        if request.webhook is not None and self.outbox.waiting >= (most := self._settings.max_webhooks):
            raise no_room(f"{self.outbox.waiting} messages wait for webhooks, the limit is {most}")
        self._make_room(len(data))
        job = Job(secrets.token_urlsafe(18), request, len(data))
        self._jobs[job.identity] = job
        if owned_key:
            self._by_key[owned_key] = job
        job.task = asyncio.create_task(self._run(job, data, charge))
        job.task.add_done_callback(lambda task: self._end(job, task))
        self._update_metrics()
        return self._view(job), True

    async def view(self, identity: str, owner: str) -> JobView:
        """Return an owner's job; see JobStore."""
        return self._view(self.find(identity, owner))

    def find(self, identity: str, owner: str = "") -> Job:
        """Return an owner's job itself. Raises UnknownJobError, also for a job of another owner."""
        job = self._jobs.get(identity)
        if job is None or job.request.owner != owner:
            raise unknown_job(self._settings.job_seconds)
        return job

    async def wait(self, job: JobView, seconds: int | None) -> JobView:
        """Wait for the end of a job, or for the time that it will take; see JobStore."""
        ours, until = self.find(job.identity, job.owner), time.monotonic() + (seconds or 0)
        while not ours.over.is_set():
            ends = ours.progress.ends
            late = seconds is None or time.monotonic() > until or (ends is not None and ends > until)
            if ours.progress.known.is_set() and late:
                break
            await _wait(ours, _POLL_SECONDS if seconds else 0.005)
        return self._view(ours)

    async def pause(self, job: JobView, seconds: float) -> None:
        """Wait for `seconds`, or for the end of the job."""
        ours = self._jobs.get(job.identity)
        await (_wait(ours, seconds) if ours is not None else asyncio.sleep(seconds))

    async def result(self, job: JobView) -> TransformResult | None:
        """Return the result, and note that it was fetched."""
        ours = self.find(job.identity, job.owner)
        ours.fetched = True
        return ours.result

    async def delete(self, job: JobView) -> None:
        """Cancel or forget a job; see JobStore. On return it has left the devices' queue."""
        ours = self._jobs.get(job.identity)
        if ours is None:
            return
        if ours.over.is_set() or ours.cancelled or ours.task is None:
            self._forget(ours)
        else:
            ours.cancelled = True
            ours.task.cancel()
            await ours.over.wait()

    def start(self) -> None:
        """Do nothing: each job starts when it is accepted."""

    def _position(self, job: Job) -> int:
        if (task := job.progress.task) is not None:
            return 1 + self._ahead(task)
        before = list(self._jobs.values())
        return 1 + sum(not other.over.is_set() for other in before[: before.index(job)])

    @property
    def busy(self) -> bool:
        """Whether a shutdown should wait: for work, for a message, or for a new result to be fetched."""
        if self.outbox.fresh:
            return True
        recently = time.monotonic() - COLLECTING_SECONDS
        return any(not job.over.is_set() or (not job.expendable and job.finished > recently) for job in self)

    async def stop(self) -> None:
        """Cancel all jobs, and forget them."""
        tasks = [job.task for job in self if job.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for job in list(self):
            self._forget(job)

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs.values())

    async def _run(self, job: Job, data: bytes, charge: Charge) -> TransformResult:
        if self._running.locked():
            job.progress.known.set()
        async with self._running:
            result = await self._transform(job.request.wanted, data, job.progress, charge)
        return await write_output(job.request.wanted, result, self._write)

    def _view(self, job: Job) -> JobView:
        request, progress, result, state = job.request, job.progress, job.result, job.state
        running = state == "running"
        return JobView(
            job.identity,
            request.owner,
            state,
            request.filename,
            request.label,
            request.request_id,
            position=self._position(job) if state == "queued" else None,
            tiles_done=progress.tiles_done if running else None,
            tiles_total=progress.tiles_total if running else None,
            seconds_left=progress.seconds_left if running or state == "queued" else None,
            result_bytes=None if result is None else result.size_bytes,
            format=None if result is None else result.format,
            milliseconds={} if result is None else result.milliseconds,
            error=job.error,
            written=None if result is None else result.written,
            webhook=request.webhook,
            delivery=self.outbox.find(job.identity),
        )

    def _forget(self, job: Job) -> None:
        self._jobs.pop(job.identity, None)
        self.outbox.forget(job.identity)
        owned_key = _owned_key(job.request)
        if owned_key and self._by_key.get(owned_key) is job:
            del self._by_key[owned_key]
        if job.expiry is not None:
            job.expiry.cancel()
        self._update_metrics()

    def _end(self, job: Job, task: "asyncio.Task[TransformResult]") -> None:
        error = None if task.cancelled() else task.exception()
        job.size_bytes, job.finished = 0, time.monotonic()
        if task.cancelled():
            job.cancelled = True
        elif isinstance(error, ServiceError):
            job.error = error
        elif error is not None:
            log.error("unforeseen", exc_info=error)
            job.error = InternalError(InternalError.example["detail"])
        elif not job.cancelled:
            self._keep(job, task.result())
        if (message := delivery_of(job.identity, job.request, job.state, job.result, job.error)) is not None:
            self.outbox.put(message)
        job.over.set()
        self._metrics.async_jobs_finished.labels(job.state).inc()
        refused = job.error.code if job.error else None
        log.info("job", extra={"state": job.state, "refused": refused, "bytes": job.size_bytes})
        if self._jobs.get(job.identity) is job:
            delay = self._settings.job_seconds
            job.expiry = asyncio.get_running_loop().call_later(delay, self._forget, job)
        self._update_metrics()

    def _keep(self, job: Job, result: TransformResult) -> None:
        size, most = len(result.body), self._settings.max_job_bytes
        finished = [other for other in self if other.over.is_set()]
        for other in sorted(finished, key=lambda other: (not other.expendable, other.finished)):
            if self._bytes + size <= most:
                break
            self._forget(other)
        if self._bytes + size > most:
            detail = f"the result has {size} bytes, more than can be kept; ask for it without Prefer: respond-async"
            job.error = AnswerTooLargeError(detail, expected=f"at most {most} bytes for all jobs")
        else:
            job.result, job.size_bytes = result, size

    def _make_room(self, body_bytes: int) -> None:
        """Forget expendable jobs, the oldest first. Raises OverloadedError if that is not enough."""
        waiting = body_bytes + sum(job.size_bytes for job in self if not job.over.is_set())
        if 2 * waiting > self._settings.max_job_bytes:  # the other half is for results
            raise no_room(f"the jobs that wait have {waiting} bytes, half of {self._settings.max_job_bytes} may")
        for job in [job for job in self if job.expendable]:
            if len(self._jobs) < self._settings.max_jobs:
                return
            self._forget(job)
        if len(self._jobs) >= self._settings.max_jobs:
            raise no_room(f"{len(self._jobs)} jobs are kept, the limit is {self._settings.max_jobs}")

    @property
    def _bytes(self) -> int:
        return sum(job.size_bytes for job in self)

    def _update_metrics(self) -> None:
        unfinished = sum(not job.over.is_set() for job in self)
        self._metrics.async_jobs.labels("unfinished").set(unfinished)
        self._metrics.async_jobs.labels("finished").set(len(self._jobs) - unfinished)
        self._metrics.async_job_bytes.set(self._bytes)


def _owned_key(request: JobRequest) -> tuple[str, str] | None:
    """Return the Idempotency-Key together with its owner, so that owners do not share keys."""
    return (request.owner, request.key) if request.key else None


async def _wait(job: Job, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(job.over.wait(), seconds)
