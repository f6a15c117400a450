"""Asynchronous jobs: requests that were answered with 202, and whose results are kept until they are fetched.

Each job runs as an asyncio task, a few at a time. Settings bound the number of jobs, their bytes (bodies that wait, and
results) and the time that results are kept.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from service.engine.task import Task
from service.errors import (
    AnswerTooLargeError,
    IdempotencyError,
    InternalError,
    OverloadedError,
    QuotaError,
    ServiceError,
    UnknownJobError,
)
from service.observability.metrics import Metrics
from service.pipeline.progress import Progress
from service.pipeline.request import TransformResult
from service.settings import Settings

log = logging.getLogger(__name__)

State = Literal["queued", "running", "done", "failed", "cancelled"]
Work = Callable[[Progress], Coroutine[Any, Any, TransformResult]]
"""Computes the result, and updates the progress. It holds the body of the request until it ends."""

COLLECTING_SECONDS = 10.0
"""How long a service that shuts down waits for a result to be fetched."""

_POLL_SECONDS = 0.05
_RETRY_AFTER_SECONDS = 5


@dataclass(frozen=True)
class JobRequest:
    """What a job is made from. filename, label: for the Content-Disposition of the result.

    body_bytes: the size of the body that the job holds. fingerprint: differs between different requests. key: the
    client's Idempotency-Key. owner: the name of the API key that may see the job.
    """

    body_bytes: int
    fingerprint: str
    filename: str | None
    label: str
    request_id: str
    key: str | None = None
    owner: str = ""

    @property
    def owned_key(self) -> tuple[str, str] | None:
        """The Idempotency-Key together with its owner, so that owners do not share keys."""
        return (self.owner, self.key) if self.key else None


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
        return self.over.is_set() and (self.fetched or self.result is None)


class JobStore:
    """All jobs of one service. Use it on the event loop only."""

    def __init__(self, settings: Settings, ahead: Callable[[Task], int], metrics: Metrics) -> None:
        """ahead: counts the tasks that the devices take before a given one."""
        self._settings, self._ahead, self._metrics = settings, ahead, metrics
        self._jobs: dict[str, Job] = {}
        self._by_key: dict[tuple[str, str], Job] = {}
        self._running = asyncio.Semaphore(settings.max_jobs_running)

    def open(self, request: JobRequest, work: Work) -> tuple[Job, bool]:
        """Return the job for a request, and whether it is new: the same key and request return the same job.

        A job that was cancelled, or that failed for a passing reason, is started again. Raises IdempotencyError if
        another request has the key, and OverloadedError if the store is full.
        """
        known = self._by_key.get(request.owned_key) if request.owned_key else None
        if known is not None and known.request.fingerprint != request.fingerprint:
            raise IdempotencyError(
                "this Idempotency-Key was used with another request; expected a new key",
                parameter="Idempotency-Key",
                expected="a new key for another request",
            )
        if known is not None and (known.cancelled or (known.error is not None and _may_pass(known.error))):
            self.forget(known)
        elif known is not None:
            return known, False
        self._make_room(request.body_bytes)
        job = Job(secrets.token_urlsafe(18), request, request.body_bytes)
        self._jobs[job.identity] = job
        if request.owned_key:
            self._by_key[request.owned_key] = job
        job.task = asyncio.create_task(self._run(job, work))
        job.task.add_done_callback(lambda task: self._end(job, task))
        self._update_metrics()
        return job, True

    def find(self, identity: str, owner: str = "") -> Job:
        """Return an owner's job. Raises UnknownJobError, also for a job of another owner."""
        job = self._jobs.get(identity)
        if job is None or job.request.owner != owner:
            kept = self._settings.job_seconds
            raise UnknownJobError(f"no such job: it never existed, was deleted, or its {kept:g} s are over")
        return job

    async def delete(self, job: Job) -> None:
        """Cancel a job that is not over; it stays known as cancelled for a while. Forget a job that is over.

        On return the job has left the devices' queue.
        """
        if job.over.is_set() or job.cancelled or job.task is None:
            self.forget(job)
        else:
            job.cancelled = True
            job.task.cancel()
            await job.over.wait()

    def forget(self, job: Job) -> None:
        """Remove a job and its result."""
        self._jobs.pop(job.identity, None)
        owned_key = job.request.owned_key
        if owned_key and self._by_key.get(owned_key) is job:
            del self._by_key[owned_key]
        if job.expiry is not None:
            job.expiry.cancel()
        self._update_metrics()

    async def wait(self, job: Job, seconds: int | None) -> bool:
        """Wait until a job is over, or until the prediction or the clock says that it takes longer than `seconds`.

        None: wait until it is known whether the image is accepted. Returns whether the job is over.
        """
        until = time.monotonic() + (seconds or 0)
        while not job.over.is_set():
            ends = job.progress.ends
            late = seconds is None or time.monotonic() > until or (ends is not None and ends > until)
            if job.progress.known.is_set() and late:
                break
            try:
                await asyncio.wait_for(job.over.wait(), _POLL_SECONDS if seconds else 0.005)
            except TimeoutError:
                continue
        return job.over.is_set()

    def position(self, job: Job) -> int:
        """Return the position in the queue; 1 is next."""
        if (task := job.progress.task) is not None:
            return 1 + self._ahead(task)
        before = list(self._jobs.values())
        return 1 + sum(not other.over.is_set() for other in before[: before.index(job)])

    @property
    def busy(self) -> bool:
        """Whether a shutdown should wait: for work, or for a new result to be fetched."""
        recently = time.monotonic() - COLLECTING_SECONDS
        return any(not job.over.is_set() or (not job.expendable and job.finished > recently) for job in self)

    async def stop(self) -> None:
        """Cancel all jobs, and forget them."""
        tasks = [job.task for job in self if job.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for job in list(self):
            self.forget(job)

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs.values())

    async def _run(self, job: Job, work: Work) -> TransformResult:
        if self._running.locked():
            job.progress.known.set()
        async with self._running:
            return await work(job.progress)

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
        job.over.set()
        self._metrics.async_jobs_finished.labels(job.state).inc()
        refused = job.error.code if job.error else None
        log.info("job", extra={"state": job.state, "refused": refused, "bytes": job.size_bytes})
        if self._jobs.get(job.identity) is job:
            delay = self._settings.job_seconds
            job.expiry = asyncio.get_running_loop().call_later(delay, self.forget, job)
        self._update_metrics()

    def _keep(self, job: Job, result: TransformResult) -> None:
        size, most = len(result.body), self._settings.max_job_bytes
        finished = [other for other in self if other.over.is_set()]
        for other in sorted(finished, key=lambda other: (not other.expendable, other.finished)):
            if self._bytes + size <= most:
                break
            self.forget(other)
        if self._bytes + size > most:
            detail = f"the result has {size} bytes, more than can be kept; ask for it without Prefer: respond-async"
            job.error = AnswerTooLargeError(detail, expected=f"at most {most} bytes for all jobs")
        else:
            job.result, job.size_bytes = result, size

    def _make_room(self, body_bytes: int) -> None:
        """Forget expendable jobs, the oldest first. Raises OverloadedError if that is not enough."""
        waiting = body_bytes + sum(job.size_bytes for job in self if not job.over.is_set())
        if 2 * waiting > self._settings.max_job_bytes:  # the other half is for results
            raise _no_room(f"the jobs that wait have {waiting} bytes, half of {self._settings.max_job_bytes} may")
        for job in [job for job in self if job.expendable]:
            if len(self._jobs) < self._settings.max_jobs:
                return
            self.forget(job)
        if len(self._jobs) >= self._settings.max_jobs:
            raise _no_room(f"{len(self._jobs)} jobs are kept, the limit is {self._settings.max_jobs}")

    @property
    def _bytes(self) -> int:
        return sum(job.size_bytes for job in self)

    def _update_metrics(self) -> None:
        unfinished = sum(not job.over.is_set() for job in self)
        self._metrics.async_jobs.labels("unfinished").set(unfinished)
        self._metrics.async_jobs.labels("finished").set(len(self._jobs) - unfinished)
        self._metrics.async_job_bytes.set(self._bytes)


def _may_pass(error: ServiceError) -> bool:
    """Tell whether the same request may succeed later."""
    return error.status >= 500 or error.status == QuotaError.status


def _no_room(why: str) -> OverloadedError:
    return OverloadedError(
        f"{why}; try again in {_RETRY_AFTER_SECONDS} s",
        {"Retry-After": str(_RETRY_AFTER_SECONDS)},
        retry_after_seconds=_RETRY_AFTER_SECONDS,
    )
