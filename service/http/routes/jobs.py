"""GET and DELETE /jobs/{id}: the progress and the result of a request that was answered with 202."""

import time
from collections.abc import AsyncIterable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, Field

from service.auth.caller import Caller
from service.errors import ForbiddenError, NoResultError, UnauthorizedError, UnavailableError, UnknownJobError
from service.http.openapi import BINARY, OTHERWISE, problems
from service.http.problems import problem_content
from service.http.routes.auth import require_transform
from service.http.routes.objects import WRITTEN, written_response
from service.http.routes.responses import picture_response
from service.http.state import state_of
from service.images.formats import MEDIA_TYPES
from service.jobs.record import DeliveryState, State
from service.pipeline.etag import matches
from service.pipeline.job_store import JobView
from service.pipeline.request import NotModified

_POLL_SECONDS = 0.1
_RETRY_MILLISECONDS = 1000
_NO_STORE = {"Cache-Control": "no-store"}
_EVENT = "event: running\ndata: {...}\n\n"


class WebhookStatus(BaseModel):
    """The message to the webhook of a job."""

    url: str
    events: list[State]
    state: DeliveryState | None = Field(None, description="Missing if this end of the job is not announced.")
    attempts: int = Field(description="How often it was sent.")
    status: int | None = Field(None, description="Of the latest response.")
    error: str | None = Field(None, description="Why the latest attempt failed.")
    next_attempt_seconds: float | None = Field(None, description="Seconds until it is sent again.")


class JobStatus(BaseModel):
    """The state and progress of a job."""

    id: str
    state: State
    position: int | None = Field(None, description="Of a queued job: its position; 1 is next.")
    tiles_done: int | None = Field(None, description="Of a running job: tiles that were computed.")
    tiles_total: int | None = Field(None, description="Of a running job: all tiles.")
    seconds_left: float | None = Field(
        None, description="Predicted seconds until it is done; missing until they are known."
    )
    bytes: int | None = Field(None, description="Of a job that is done: the size of its result.")
    media_type: str | None = Field(None, description="Of a job that is done: the media type of its result.")
    output: str | None = Field(None, description="Of a job that is done: URL of the object that `output` named.")
    etag: str | None = Field(None, description="Of a job with output: what the store calls this version of the object.")
    milliseconds: dict[str, float] | None = Field(
        None, description="Of a job that is done: milliseconds in each stage."
    )
    problem: dict[str, Any] | None = Field(None, description="Of a job that failed: the problem, as in problem+json.")
    webhook: WebhookStatus | None = Field(None, description="Of a job with a webhook: the message to it.")


def status_of(job: JobView) -> JobStatus:
    """Describe a job for its client."""
    error, done = job.error, job.format is not None
    problem = (
        None
        if error is None
        else problem_content(error.status, error.code, detail=error.detail, request_id=job.request_id, **error.facts)
    )
    return JobStatus(
        id=job.identity,
        state=job.state,
        position=job.position,
        tiles_done=job.tiles_done,
        tiles_total=job.tiles_total,
        seconds_left=None if job.seconds_left is None else round(job.seconds_left, 1),
        bytes=job.result_bytes,
        media_type=None if job.format is None else MEDIA_TYPES[job.format],
        output=None if job.written is None else str(job.written.location),
        etag=None if job.written is None else job.written.etag or None,
        milliseconds={stage: round(value, 1) for stage, value in job.milliseconds.items()} if done else None,
        problem=problem,
        webhook=_webhook_status(job),
    )


def _webhook_status(job: JobView) -> WebhookStatus | None:
    webhook, delivery = job.webhook, job.delivery
    if webhook is None:
        return None
    if delivery is None:
        state: DeliveryState | None = None if job.over and job.state not in webhook.events else "pending"
        return WebhookStatus(url=webhook.url, events=list(webhook.events), state=state, attempts=0)
    pending = delivery.last.state == "pending" and delivery.attempt > 0
    return WebhookStatus(
        url=webhook.url,
        events=list(webhook.events),
        state=delivery.last.state,
        attempts=delivery.attempt,
        status=delivery.last.status,
        error=delivery.last.error or None,
        next_attempt_seconds=round(max(0.0, delivery.due_at - time.time()), 1) if pending else None,
    )


async def find_job(request: Request, identity: str, caller: Annotated[Caller, Depends(require_transform)]) -> JobView:
    """Return the job of the path. Raises UnknownJobError, before a stream of events begins."""
    return await state_of(request).jobs.view(identity, caller.name)


FoundJob = Annotated[JobView, Depends(find_job)]

router = APIRouter(tags=["jobs"])
_UNKNOWN = {**problems(UnknownJobError, UnauthorizedError, ForbiddenError), **OTHERWISE}


@router.get("/jobs/{identity}", responses=_UNKNOWN, response_model_exclude_none=True)
async def job(response: Response, job: FoundJob) -> JobStatus:
    """Return the state and progress of a job. The id is a secret; a job of an API key also needs that key."""
    response.headers.update(_NO_STORE)
    return status_of(job)


@router.get(
    "/jobs/{identity}/events",
    response_class=EventSourceResponse,
    responses={
        200: {
            "description": "An event at each change, named after the state, with the job as its data. "
            "The last one is done, failed or cancelled.",
            "content": {"text/event-stream": {"schema": {"type": "string"}, "example": _EVENT}},
        },
        **_UNKNOWN,
    },
)
async def events(request: Request, job: FoundJob) -> AsyncIterable[ServerSentEvent]:
    """Stream the changes of a job as server-sent events."""
    jobs, sent = state_of(request).jobs, None
    yield ServerSentEvent(retry=_RETRY_MILLISECONDS)
    while True:
        status = status_of(job)
        if sent is None or status.model_copy(update={"seconds_left": sent.seconds_left}) != sent:
            yield ServerSentEvent(event=status.state, raw_data=status.model_dump_json(exclude_none=True))
            sent = status
        if job.over:
            return
        await jobs.pause(job, _POLL_SECONDS)
        try:
            job = await jobs.view(job.identity, job.owner)
        except UnknownJobError:  # it was deleted
            return
        except UnavailableError:  # the store is expected to return
            continue


@router.get(
    "/jobs/{identity}/result",
    response_class=Response,
    responses={
        200: {
            "description": "The output image; of a job with output, where it was written.",
            "content": dict.fromkeys(MEDIA_TYPES.values(), BINARY) | WRITTEN,
        },
        304: {"description": "If-None-Match names the ETag of the result."},
        **problems(UnknownJobError, NoResultError, UnauthorizedError, ForbiddenError),
        **OTHERWISE,
    },
)
async def result(request: Request, job: FoundJob) -> Response:
    """Return the result with the headers of a synchronous response, or the problem of a failed job."""
    if job.error is not None:
        raise job.error
    if job.state != "done":
        hint = "it was cancelled" if job.state == "cancelled" else f"it is {job.state}"
        raise NoResultError(f"the job has no result: {hint}", value=job.state, expected="done")
    result = await state_of(request).jobs.result(job)
    if result is None:
        raise UnknownJobError("no such job: it was deleted")
    if matches(result.etag, request.headers.getlist("if-none-match")):
        raise NotModified(result.etag)
    if result.written is not None:
        response: Response = written_response(result, 200)
    else:
        response = picture_response(request, result, job.filename, job.label)
    response.headers.update(_NO_STORE)
    return response


@router.delete("/jobs/{identity}", status_code=204, response_class=Response, responses=_UNKNOWN)
async def delete(request: Request, job: FoundJob) -> Response:
    """Cancel a job; the computation stops. A job that is over is removed together with its result."""
    await state_of(request).jobs.delete(job)
    return Response(status_code=204)
