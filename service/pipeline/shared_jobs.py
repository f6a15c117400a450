"""Jobs in Redis: any replica accepts, computes, reports, serves and cancels any job."""

import logging
import time
from collections.abc import Callable
from contextlib import suppress

from service.engine.task import Task
from service.errors import AnswerTooLargeError, InternalError, ServiceError, StartupError, UnavailableError
from service.jobs.record import OVER, Bounds, JobRecord, Lease, Outcome
from service.jobs.redis_store import RedisStore
from service.observability.logs import request_id
from service.observability.metrics import Metrics
from service.pipeline.job_runner import JobRunner
from service.pipeline.job_store import JobRequest, JobView, unknown_job
from service.pipeline.large_results import large_results_from_settings
from service.pipeline.outputs import Write, write_output
from service.pipeline.pipeline import Pipeline
from service.pipeline.progress import Progress
from service.pipeline.request import Charge, TransformRequest, TransformResult, no_charge
from service.pipeline.stored_jobs import (
    error_facts,
    error_of,
    failure_of,
    outcome_of,
    request_of,
    result_of,
    spec_of,
    written_of,
)
from service.settings import PREFIX, Settings
from service.webhooks.outbox import Outbox

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.05


class SharedJobs:
    """A JobStore in Redis, and the worker of this replica."""

    def __init__(
        self,
        settings: Settings,
        address: str,
        pipeline: Pipeline,
        write: Write,
        is_open: Callable[[], bool],
        seconds_queued: Callable[[], float],
        ahead: Callable[[Task], int],
        metrics: Metrics,
    ) -> None:
        """See JobRunner. address: of Redis. write: for outputs. Raises StartupError for an invalid address."""
        self._write = write
        self._pipeline, self._metrics, self._kept_seconds = pipeline, metrics, settings.job_seconds
        self._store = _open_store(settings, address, metrics)
        self._large = large_results_from_settings(settings, self._store)
        self._runner = JobRunner(settings, self._store, self._compute, is_open, seconds_queued, ahead, metrics)

    async def accept(self, request: JobRequest, data: bytes, charge: Charge) -> tuple[JobView, bool]:
        """Queue a job, or find the one with its key; see JobStore. Raises what is wrong with the image."""
        seconds, pixels = await self._pipeline.appraise(request.wanted, data)
        job, new = await self._store.add(spec_of(request, data, seconds))
        if new:
            try:
                await charge(pixels)
            except BaseException:
                for _ in ("cancel", "forget"):
                    await self._store.remove(job.identity, announce=False)
                raise
            self._runner.wake()
        return await self._view(job), new

    async def view(self, identity: str, owner: str) -> JobView:
        """Return an owner's job; see JobStore."""
        job = await self._store.find(identity, owner)
        if job is None:
            raise unknown_job(self._kept_seconds)
        return await self._view(job)

    async def wait(self, job: JobView, seconds: int | None) -> JobView:
        """Wait for the end of a job, or for the time that it will take; see JobStore."""
        until = time.monotonic() + (seconds or 0)
        while not job.over and time.monotonic() + (job.seconds_left or 0) < until:
            await self.pause(job, _POLL_SECONDS)
            with suppress(UnavailableError):  # the job is accepted, and its client shall know where it is
                job = await self.view(job.identity, job.owner)
        return job

    async def pause(self, job: JobView, seconds: float) -> None:
        """Wait for `seconds`, or less if the job ends in this replica."""
        await self._runner.pause(job.identity, seconds)

    async def result(self, job: JobView) -> TransformResult | None:
        """Return the result, and note that it was fetched."""
        found = await self._store.find(job.identity, job.owner)
        body = await self._store.result(job.identity)
        if found is not None and found.object:
            if self._large is None:
                raise UnavailableError(f"this replica has no {PREFIX}JOB_RESULTS, where the result is")
            body = await self._large.read(found)
        if found is None or body is None:
            return None
        return result_of(found.outcome, body)

    async def delete(self, job: JobView) -> None:
        """Cancel or forget a job; see JobStore. Another replica that computes it stops with its next report."""
        await self._store.remove(job.identity)
        self._runner.cancel(job.identity)
        if not job.over:
            self._metrics.async_jobs_finished.labels("cancelled").inc()

    @property
    def outbox(self) -> Outbox:
        """The messages to webhooks."""
        return self._store

    @property
    def busy(self) -> bool:
        """Whether this replica computes a job. Other replicas serve the results."""
        return self._runner.busy

    def start(self) -> None:
        """Begin to work on jobs."""
        self._runner.start()
        if self._large is not None:
            self._large.start()

    async def stop(self) -> None:
        """Put what is not computed back into the queue, and close the connections."""
        await self._runner.stop()
        if self._large is not None:
            await self._large.stop()
        await self._store.close()

    async def _compute(self, lease: Lease, progress: Progress) -> Outcome | None:
        request_id.set(lease.job.facts["request_id"])  # of this task
        try:
            request = request_of(lease.job)
            result = await self._pipeline.transform(request, lease.payload, progress, no_charge)
        except UnavailableError as error:  # a lost device; the lease ends, and counts as an attempt
            log.warning("a job was given up", extra={"error": error.detail})
            return None
        except ServiceError as error:
            return failure_of(error)
        except Exception as error:
            log.error("unforeseen", exc_info=error)
            return failure_of(InternalError(InternalError.example["detail"]))
        return await self._keep(lease, request, result)

    async def _keep(self, lease: Lease, request: TransformRequest, result: TransformResult) -> Outcome:
        try:
            outcome = outcome_of(await write_output(request, result, self._write))
        except ServiceError as error:  # also if the object storage is away: no replica computes it again for that
            return failure_of(error)
        return outcome if self._large is None else await self._large.move(lease, outcome)

    async def _view(self, job: JobRecord) -> JobView:
        facts, progress, outcome = job.facts, job.progress, job.outcome
        state = "queued" if job.state == "running" and not progress.get("begun") else job.state
        position = progress.get("position") or await self._store.position(job) if state == "queued" else None
        ends, done, running = progress.get("ends"), state == "done", state == "running"
        return JobView(
            job.identity,
            job.owner,
            state,
            facts["filename"],
            facts["label"],
            facts["request_id"],
            position=position,
            tiles_done=progress.get("tiles_done") if running else None,
            tiles_total=progress.get("tiles_total") if running else None,
            seconds_left=None if ends is None or state in OVER else max(0.0, ends - time.time()),
            result_bytes=job.result_bytes if done else None,
            format=outcome["format"] if done else None,
            milliseconds=outcome["milliseconds"] if done else {},
            error=error_of(outcome) if state == "failed" else None,
            written=written_of(outcome) if done else None,
            webhook=job.webhook,
            delivery=await self._store.delivery(job.identity) if job.webhook and state in OVER else None,
        )


def _open_store(settings: Settings, address: str, metrics: Metrics) -> RedisStore:
    bounds = Bounds(
        settings.max_jobs,
        settings.max_job_bytes,
        settings.job_seconds,
        settings.job_lease_seconds,
        settings.job_attempts,
        settings.max_webhooks,
    )
    expected = f"at most {bounds.most_bytes} bytes for all jobs"
    too_large = AnswerTooLargeError(
        "the result has more bytes than can be kept; ask for it without Prefer: respond-async", expected=expected
    )
    died = InternalError(f"{bounds.most_attempts} replicas ended while they computed this job")
    try:
        return RedisStore(address, bounds, error_facts(too_large), error_facts(died), metrics)
    except ValueError as error:  # its message may hold the password
        raise StartupError(f"{PREFIX}JOB_STORE: {type(error).__name__}: expected redis://HOST:PORT/DB") from error
