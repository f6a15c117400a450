"""GET and DELETE /jobs/{id}: how far a request is that was answered with 202, and its answer once it is there."""

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field
from starlette.responses import StreamingResponse

from service.errors import ForbiddenError, NoResultError, UnauthorizedError, UnknownJobError
from service.http.openapi import BINARY, OTHERWISE, problems
from service.http.problems import problem_content
from service.http.routes.auth import owner_of, transforms
from service.http.routes.responses import picture_response
from service.images.formats import MEDIA_TYPES
from service.pipeline.etag import is_named
from service.pipeline.jobs import State, Ticket, Tickets
from service.pipeline.request import NotModified

_LOOK_SECONDS = 0.1
_HEARTBEAT_SECONDS = 15.0
_NO_STORE = {"Cache-Control": "no-store"}
_EVENT = "event: running\ndata: {...}\n\n"


class JobStatus(BaseModel):
    """How far a job is."""

    id: str
    state: State
    position: int | None = Field(None, description="Of a queued job: 1 is next.")
    tiles_done: int | None = Field(None, description="Of a running job: windows that were computed.")
    tiles_total: int | None = Field(None, description="Of a running job: windows in all.")
    seconds_left: float | None = Field(
        None, description="Until it is done, as predicted; missing before that is known."
    )
    bytes: int | None = Field(None, description="Of a job that is done: the size of its answer.")
    media_type: str | None = Field(None, description="Of a job that is done: what its answer is.")
    milliseconds: dict[str, float] | None = Field(None, description="Of a job that is done: in each stage.")
    problem: dict[str, Any] | None = Field(None, description="Of a job that failed: why, as problem+json has it.")


def status_of(ticket: Ticket, tickets: Tickets) -> JobStatus:
    """What a client may know."""
    status = JobStatus(id=ticket.identity, state=ticket.state)
    progress, answer, error = ticket.progress, ticket.answer, ticket.error
    if ticket.state in {"queued", "running"} and (seconds := progress.seconds_left) is not None:
        status.seconds_left = round(seconds, 1)
    if ticket.state == "queued":
        status.position = tickets.position(ticket)
    elif ticket.state == "running":
        status.tiles_done, status.tiles_total = progress.tiles_done, progress.tiles_total
    elif ticket.state == "done" and answer is not None:
        status.bytes, status.media_type = len(answer.body), MEDIA_TYPES[answer.format]
        status.milliseconds = {stage: round(value, 1) for stage, value in answer.milliseconds.items()}
    elif ticket.state == "failed" and error is not None:
        status.problem = problem_content(
            error.status, error.code, detail=error.detail, request_id=ticket.wanted.request_id, **error.facts
        )
    return status


router = APIRouter(tags=["jobs"], dependencies=[Depends(transforms)])
_UNKNOWN = {**problems(UnknownJobError, UnauthorizedError, ForbiddenError), **OTHERWISE}


@router.get("/jobs/{identity}", responses=_UNKNOWN, response_model_exclude_none=True)
async def job(request: Request, response: Response, identity: str) -> JobStatus:
    """How far a job is. Its id is known only to who was given it, and opens all of these; with the same key, if any."""
    response.headers.update(_NO_STORE)
    return status_of(*_found(request, identity))


@router.get(
    "/jobs/{identity}/events",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Each time that something changes, an event named by the state, with the job as its data; "
            "the last one is done, failed or cancelled.",
            "content": {"text/event-stream": {"schema": {"type": "string"}, "example": _EVENT}},
        },
        **_UNKNOWN,
    },
)
async def events(request: Request, identity: str) -> StreamingResponse:
    """The same as it changes, as server-sent events."""
    headers = {**_NO_STORE, "X-Accel-Buffering": "no"}
    return StreamingResponse(_events(*_found(request, identity)), media_type="text/event-stream", headers=headers)


@router.get(
    "/jobs/{identity}/result",
    response_class=Response,
    responses={
        200: {"description": "The picture.", "content": dict.fromkeys(MEDIA_TYPES.values(), BINARY)},
        304: {"description": "The client has it already: If-None-Match names its ETag."},
        **problems(UnknownJobError, NoResultError, UnauthorizedError, ForbiddenError),
        **OTHERWISE,
    },
)
async def result(request: Request, identity: str) -> Response:
    """The answer, with the headers that it would have had at once; or the problem that it ended with."""
    ticket, _ = _found(request, identity)
    if ticket.error is not None:
        raise ticket.error
    if ticket.answer is None:
        hint = "it was cancelled" if ticket.state == "cancelled" else f"it is {ticket.state}"
        raise NoResultError(f"the job has no result: {hint}", value=ticket.state, expected="done")
    ticket.fetched = True
    if is_named(ticket.answer.tag, request.headers.getlist("if-none-match")):
        return picture_response(request, NotModified(ticket.answer.tag), None, "")
    response = picture_response(request, ticket.answer, ticket.wanted.filename, ticket.wanted.what)
    response.headers["Cache-Control"] = "no-store"
    return response


@router.delete("/jobs/{identity}", status_code=204, response_class=Response, responses=_UNKNOWN)
async def delete(request: Request, identity: str) -> Response:
    """End a job: nothing more of it is computed. One that is over is forgotten, with its answer."""
    ticket, tickets = _found(request, identity)
    await tickets.delete(ticket)
    return Response(status_code=204)


def _found(request: Request, identity: str) -> tuple[Ticket, Tickets]:
    tickets: Tickets = request.app.state.tickets
    return tickets.find(identity, owner_of(request)), tickets


async def _events(ticket: Ticket, tickets: Tickets) -> AsyncGenerator[str, None]:
    yield "retry: 1000\n\n"
    told: JobStatus | None = None
    said = time.monotonic()
    while True:
        status = status_of(ticket, tickets)
        if told is None or status.model_copy(update={"seconds_left": told.seconds_left}) != told:
            yield f"event: {status.state}\ndata: {status.model_dump_json(exclude_none=True)}\n\n"
            told, said = status, time.monotonic()
        if status.state not in {"queued", "running"}:
            return
        if time.monotonic() - said > _HEARTBEAT_SECONDS:
            yield ": still here\n\n"
            said = time.monotonic()
        try:
            await asyncio.wait_for(ticket.over.wait(), _LOOK_SECONDS)
        except TimeoutError:
            continue
