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
from service.http.routes.responses import picture_response
from service.http.state import state_of
from service.pipeline.etag import entity_tag
from service.pipeline.jobs import Job, JobRequest
from service.pipeline.progress import Progress
from service.pipeline.request import TransformRequest, TransformResult


async def respond_async(
    request: Request, wanted: TransformRequest, upload: Upload, label: str, preference: Preference, key: str | None
) -> Response:
    """Return 202 and the job, or the result itself if the client waits for it long enough.

    Raises the error of a request that is known to be wrong by then.
    """
    state = state_of(request)
    parameters = wanted.parameters.model_copy(update={"deadline_ms": None})
    fingerprint = await asyncio.to_thread(entity_tag, upload.data, parameters, wanted.accept, wanted.owner)
    request_id: str = request.scope["state"]["request_id"]
    job_request = JobRequest(len(upload.data), fingerprint, upload.filename, label, request_id, key, wanted.owner)
    charge = charge_of(request)

    async def work(progress: Progress) -> TransformResult:
        return await state.pipeline.transform(wanted, upload.data, progress, charge)

    state.pipeline.check(wanted)  # again: the service may have closed while the body came
    job, new = state.jobs.open(job_request, work)
    try:
        over = await while_connected(request, state.jobs.wait(job, preference.wait_seconds))
    except ClientLeftError:
        if new and key is None:  # no other client knows its address
            await state.jobs.delete(job)
        raise
    if over and job.error is not None and new:
        state.jobs.forget(job)
        raise job.error
    if over and job.result is not None and preference.wait_seconds is not None:
        if key is None:
            state.jobs.forget(job)
        return picture_response(request, job.result, upload.filename, label)
    return _accepted(request, job, preference)


def _accepted(request: Request, job: Job, preference: Preference) -> Response:
    seconds = job.progress.seconds_left
    headers = {
        "Location": f"{request.scope.get('root_path', '')}/jobs/{job.identity}",
        "Preference-Applied": preference.applied,
        "Retry-After": str(max(1, math.ceil(seconds or 0))),
        "Cache-Control": "no-store",
    }
    status = status_of(job, state_of(request).jobs)
    return JSONResponse(status.model_dump(exclude_none=True), 202, headers)
