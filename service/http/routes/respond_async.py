"""Prefer: respond-async. A request becomes a job, and the client receives its address."""

import asyncio
import math

from fastapi import Request, Response
from starlette.responses import JSONResponse

from service.errors import ClientLeftError
from service.http.body import Upload
from service.http.disconnect import while_connected
from service.http.headers import Preference
from service.http.routes.auth import charge_of
from service.http.routes.jobs import status_of
from service.http.routes.objects import written_response
from service.http.routes.responses import picture_response
from service.http.state import state_of
from service.jobs.record import Webhook
from service.pipeline.etag import entity_tag
from service.pipeline.job_store import JobRequest, JobView
from service.pipeline.request import TransformRequest


async def respond_async(
    request: Request,
    wanted: TransformRequest,
    upload: Upload,
    label: str,
    preference: Preference,
    key: str | None,
    webhook: Webhook | None,
) -> Response:
    """Return 202 and the job, or the result itself if the client waits for it long enough.

    Raises the error of a request that is known to be wrong by then.
    """
    state = state_of(request)
    parameters = wanted.parameters.model_copy(update={"deadline_ms": None})
    facts = [parameters, wanted.accept, wanted.owner, *(each for each in (webhook, wanted.output) if each is not None)]
    fingerprint = await asyncio.to_thread(entity_tag, upload.data, *facts)
    request_id: str = request.scope["state"]["request_id"]
    query = {name: value for name, value in request.query_params.items() if name in type(parameters).model_fields}
    job_request = JobRequest(wanted, query, fingerprint, upload.filename, label, request_id, key, webhook)
    state.pipeline.check(wanted)  # again: the service may have closed while the body came
    job, new = await state.jobs.accept(job_request, upload.data, charge_of(request))
    try:
        job = await while_connected(request, state.jobs.wait(job, preference.wait_seconds))
    except ClientLeftError:
        if new and key is None:  # no other client knows its address
            await state.jobs.delete(job)
        raise
    if job.error is not None and new:
        await state.jobs.delete(job)
        raise job.error
    if job.state == "done" and preference.wait_seconds is not None:
        result = await state.jobs.result(job)
        if key is None:
            await state.jobs.delete(job)
        if result is not None and result.written is not None:
            return written_response(result)
        if result is not None:
            return picture_response(request, result, upload.filename, label)
    return _accepted(request, job, preference)


def _accepted(request: Request, job: JobView, preference: Preference) -> Response:
    headers = {
        "Location": f"{request.scope.get('root_path', '')}/jobs/{job.identity}",
        "Preference-Applied": preference.applied,
        "Retry-After": str(max(1, math.ceil(job.seconds_left or 0))),
        "Cache-Control": "no-store",
    }
    return JSONResponse(status_of(job).model_dump(exclude_none=True), 202, headers)
