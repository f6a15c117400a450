"""The protocol of job stores: `memory_jobs` keeps jobs in this process, `shared_jobs` in Redis for all replicas."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from service.errors import ServiceError, UnknownJobError
from service.images.formats import Format
from service.jobs.record import OVER, Delivery, State, Webhook
from service.pipeline.request import Charge, TransformRequest, TransformResult
from service.storage.location import StoredObject
from service.webhooks.outbox import Outbox


@dataclass(frozen=True)
class JobRequest:
    """What a job is made from, besides the image. query: the query parameters of `wanted`, as they came.

    fingerprint: differs between different requests. filename, label: for the Content-Disposition of the result. key:
    the client's Idempotency-Key. webhook: where its end is announced.
    """

    wanted: TransformRequest
    query: Mapping[str, str]
    fingerprint: str
    filename: str | None
    label: str
    request_id: str
    key: str | None = None
    webhook: Webhook | None = None

    @property
    def owner(self) -> str:
        """The name of the API key that may see the job."""
        return self.wanted.owner


@dataclass(frozen=True)
class JobView:
    """A job at one moment, as its client sees it. position: of a queued job; 1 is next. seconds_left: predicted.

    written: the object that its output went to. delivery: the message to its webhook, once it is over.
    """

    identity: str
    owner: str
    state: State
    filename: str | None
    label: str
    request_id: str
    position: int | None = None
    tiles_done: int | None = None
    tiles_total: int | None = None
    seconds_left: float | None = None
    result_bytes: int | None = None
    format: Format | None = None
    milliseconds: Mapping[str, float] = field(default_factory=dict)
    error: ServiceError | None = None
    written: StoredObject | None = None
    webhook: Webhook | None = None
    delivery: Delivery | None = None

    @property
    def over(self) -> bool:
        """Whether the state is final."""
        return self.state in OVER


class JobStore(Protocol):
    """The asynchronous jobs of a service. Use it on the event loop only.

    The store in Redis raises UnavailableError from every method while Redis does not respond.
    """

    async def accept(self, request: JobRequest, data: bytes, charge: Charge) -> tuple[JobView, bool]:
        """Return the job for a request, and whether it is new: the same key and request return the same job.

        A job that was cancelled, or that failed for a passing reason, is queued again. Raises IdempotencyError if
        another request has the key, and OverloadedError if the store is full. The store in Redis also raises what is
        wrong with the image; the one in memory makes it the error of the job.
        """

    async def view(self, identity: str, owner: str) -> JobView:
        """Return an owner's job. Raises UnknownJobError, also for a job of another owner."""

    async def wait(self, job: JobView, seconds: int | None) -> JobView:
        """Wait until a job is over, or until the prediction or the clock says that it takes longer than `seconds`.

        None: wait until it is known whether the image is accepted.
        """

    async def pause(self, job: JobView, seconds: float) -> None:
        """Wait for `seconds`, or less if the job ends in this process."""

    async def result(self, job: JobView) -> TransformResult | None:
        """Return the result of a job that is done, and note that it was fetched."""

    async def delete(self, job: JobView) -> None:
        """Cancel a job that is not over; it stays known as cancelled for a while. Forget a job that is over."""

    @property
    def outbox(self) -> Outbox:
        """The messages to webhooks."""

    @property
    def busy(self) -> bool:
        """Whether a shutdown should wait."""

    def start(self) -> None:
        """Begin to work on jobs."""

    async def stop(self) -> None:
        """Stop the work, and close the connections."""


def unknown_job(kept_seconds: float) -> UnknownJobError:
    """Build the error for a job that is not, or no longer, in the store."""
    return UnknownJobError(f"no such job: it never existed, was deleted, or its {kept_seconds:g} s are over")


def may_pass(error: ServiceError) -> bool:
    """Tell whether the same request may succeed later."""
    return error.status >= 500 or error.status == 429
