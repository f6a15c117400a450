"""Prefer: respond-async. A request becomes a job, and its client is told where to find it."""

import asyncio
import math
from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import Header, Request, Response
from starlette.responses import JSONResponse

from service.errors import ClientLeftError
from service.http.body import Upload
from service.http.disconnect import while_connected
from service.http.prefer import Preference
from service.http.routes.auth import charge_of
from service.http.routes.jobs import status_of
from service.http.routes.responses import picture_response
from service.pipeline.etag import entity_tag
from service.pipeline.jobs import Ticket, Tickets, Wanted
from service.pipeline.pipeline import Pipeline
from service.pipeline.progress import Progress
from service.pipeline.request import Answer, Asked


@dataclass(frozen=True)
class Later:
    """Headers by which a client asks for an answer that it fetches later."""

    prefer: Annotated[
        str | None,
        Header(
            alias="Prefer",
            description="respond-async: 202, and a job to fetch the answer from. "
            "respond-async, wait=10: only where it would not be ready within 10 s.",
        ),
    ] = None
    key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            min_length=1,
            max_length=255,
            description="With respond-async: the same key and request is the same job, and is computed once.",
        ),
    ] = None


async def promise(
    request: Request, asked: Asked, upload: Upload, what: str, how: Preference, key: str | None
) -> Response:
    """202 and the job; or the answer itself where the client would wait so long. Raises what is known to be wrong."""
    tickets: Tickets = request.app.state.tickets
    pipeline: Pipeline = request.app.state.pipeline
    asked = replace(asked, if_none_match=(), patient=True)
    fingerprint = await asyncio.to_thread(entity_tag, upload.data, replace(asked, expires=None))
    request_id: str = request.scope["state"]["request_id"]
    wanted = Wanted(len(upload.data), fingerprint, upload.filename, what, request_id, key, asked.owner)
    charge = charge_of(request)

    async def work(progress: Progress) -> Answer:
        answer = await pipeline.transform(asked, upload.data, progress, charge)
        assert isinstance(answer, Answer)  # no tag was named
        return answer

    pipeline.check(asked.knobs, patient=True)  # again: the body may have taken its time
    ticket, new = tickets.open(wanted, work)
    try:
        over = await while_connected(request, tickets.wait(ticket, how.wait_seconds))
    except ClientLeftError:
        if new and key is None:  # nobody else has its name
            await tickets.delete(ticket)
        raise
    if over and ticket.error is not None and new:
        tickets.forget(ticket)
        raise ticket.error
    if over and ticket.answer is not None and how.wait_seconds is not None:
        response = picture_response(request, ticket.answer, upload.filename, what)
        if key is None:
            tickets.forget(ticket)
        return response
    return _accepted(request, ticket, how)


def _accepted(request: Request, ticket: Ticket, how: Preference) -> Response:
    seconds = ticket.progress.seconds_left
    headers = {
        "Location": f"{request.scope.get('root_path', '')}/jobs/{ticket.identity}",
        "Preference-Applied": how.applied,
        "Retry-After": str(max(1, math.ceil(seconds or 0))),
        "Cache-Control": "no-store",
    }
    status = status_of(ticket, request.app.state.tickets)
    return JSONResponse(status.model_dump(exclude_none=True), 202, headers)
