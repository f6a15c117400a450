"""POST /styles and what follows: a painting becomes a style that /stylize knows."""

import asyncio
import hashlib
import math
import time
from collections.abc import AsyncIterable
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse

from nets.checkpoint import MODEL_NAME
from nets.spool import StyleRequest
from service.auth.caller import Caller
from service.errors import (
    BodyError,
    BodyTooLargeError,
    BrokenImageError,
    ForbiddenError,
    NoTrainerError,
    ParameterError,
    QuotaError,
    StorageFullError,
    StyleExistsError,
    TooManyPixelsError,
    TooManyStylesError,
    UnauthorizedError,
    UnavailableError,
    UnknownModelError,
    UnsuitablePaintingError,
    UnsupportedImageError,
)
from service.http.body import read_picture
from service.http.openapi import BINARY, NOT_FOUND, OTHERWISE, problems
from service.http.routes.auth import charge_of, count, owner_of, require_styles, style_charge_of
from service.http.routes.openapi import REQUEST
from service.http.routes.transform import refuse_repeated
from service.http.state import state_of
from service.models.learning.learner import LearnedStyle, Learner, State
from service.pipeline.parameters import UpscaleParameters
from service.pipeline.request import TransformRequest

_POLL_SECONDS = 0.25
_RETRY_MILLISECONDS = 1000
_NO_STORE = {"Cache-Control": "no-store"}


class StyleParameters(BaseModel, extra="forbid"):
    """All parameters of POST /styles."""

    name: str = Field(pattern=MODEL_NAME, description="Name of the new style: lower-case letters, digits, _ and -.")
    minutes: float | None = Field(None, gt=0, le=120, description="Training time. Default: the service's own.")
    license: str = Field("", max_length=200, description="Licence of the painting, for the style's card.")
    source: str = Field("", max_length=500, description="Painter, title and year, for the style's card.")
    private: bool = Field(False, description="For the caller's key only. Needs a service with keys.")


class StyleState(BaseModel):
    """A style that is learned, or was."""

    name: str
    state: State
    private: bool = Field(description="Whether only the key that sent the painting may see and use the style.")
    progress: float = Field(description="Share of the training time, from 0 to 1.")
    seconds_left: float | None = Field(None, description="Training time that is left. Time in the queue is not in it.")
    position: int | None = Field(None, description="Of a queued style: its position; 1 is next.")
    preview: str | None = Field(None, description="Path of a photograph in the style so far; it changes with each one.")
    model: str | None = Field(None, description="Of a style that is ready: its key in GET /models.")
    reason: str | None = Field(None, description="Of a style that failed: why.")


def learner_of(request: Request) -> Learner:
    """Return the learner. Raises 404 if the service learns no styles."""
    learner = state_of(request).learner
    if learner is None:
        raise HTTPException(404, "this service learns no styles; set IMPASTO_LEARNED to a folder for them")
    return learner


Learning = Annotated[Learner, Depends(learner_of)]
Authorized = Annotated[Caller, Depends(require_styles)]

router = APIRouter(tags=["styles"])
_UNKNOWN = {**problems(UnknownModelError, UnauthorizedError, ForbiddenError), **OTHERWISE}


@router.post(
    "/styles",
    status_code=202,
    response_model=StyleState,
    dependencies=[Depends(refuse_repeated)],
    responses={
        202: {"headers": {"Location": {"description": "The path of the style.", "schema": {"type": "string"}}}},
        **problems(
            ParameterError,
            QuotaError,
            BodyError,
            BodyTooLargeError,
            UnsupportedImageError,
            BrokenImageError,
            TooManyPixelsError,
            UnsuitablePaintingError,
            StorageFullError,
            StyleExistsError,
            TooManyStylesError,
            UnauthorizedError,
            ForbiddenError,
            NoTrainerError,
            UnavailableError,
        ),
        **NOT_FOUND,
        **OTHERWISE,
    },
    openapi_extra=REQUEST,
)
async def learn(
    request: Request, learner: Learning, caller: Authorized, parameters: Annotated[StyleParameters, Query()]
) -> Response:
    """Learn a style from a painting. Once it is ready, /stylize accepts it.

    The same name and painting give the style that is there, so that a request can be repeated.
    """
    state = state_of(request)
    if parameters.private and not state.keys.required:
        raise ParameterError(
            "this service has no keys, so nothing on it is private", parameter="private", value="true", expected="false"
        )
    await count(request, caller)
    upload = await read_picture(request, state.settings.max_body_bytes)
    as_png = TransformRequest(UpscaleParameters(factor=1, format="png"), owner=caller.name)
    painting = await state.pipeline.transform(as_png, upload.data, charge=charge_of(request))
    minutes = parameters.minutes or state.settings.learn_minutes
    wanted = StyleRequest(
        parameters.name,
        caller.name,
        minutes,
        parameters.license,
        parameters.source,
        hashlib.sha256(painting.body).hexdigest(),
        time.time(),
        parameters.private,
    )
    style = await learner.submit(wanted, painting.body, style_charge_of(request))
    headers = {
        "Location": f"{_root(request)}/styles/{style.name}",
        "Retry-After": str(max(1, math.ceil(style.seconds_left or 0))),
        **_NO_STORE,
    }
    return JSONResponse(_described(request, style).model_dump(exclude_none=True), 202, headers)


@router.get("/styles/{name}", responses=_UNKNOWN, response_model_exclude_none=True)
async def style(request: Request, response: Response, name: str, learner: Learning, caller: Authorized) -> StyleState:
    """Return the state of a style that is learned, or was."""
    response.headers.update(_NO_STORE)
    return _described(request, await learner.find(name, caller.name))


@router.get(
    "/styles/{name}/preview",
    response_class=Response,
    responses={
        200: {"description": "A photograph in the style so far.", "content": {"image/jpeg": BINARY}},
        **_UNKNOWN,
    },
)
async def preview(
    name: str,
    learner: Learning,
    caller: Authorized,
    number: Annotated[int, Query(ge=0, description="Any; for caches.")] = 0,
) -> Response:
    """Return a photograph in the style so far: JPEG, 384 pixels wide."""
    del number  # it only makes the address of each preview another one
    await learner.find(name, caller.name)
    jpeg = await learner.preview(name)
    if jpeg is None:
        detail = f"there is no preview of {name}"
        raise UnknownModelError(detail, parameter="name", value=name, expected="a style that is being learned")
    return Response(jpeg, media_type="image/jpeg", headers=_NO_STORE)


async def found_style(name: str, learner: Learning, caller: Authorized) -> LearnedStyle:
    """Return the style of the path. Raises UnknownModelError, before a stream of events begins."""
    return await learner.find(name, caller.name)


@router.get(
    "/styles/{name}/events",
    response_class=EventSourceResponse,
    responses={
        200: {
            "description": "An event at each change, named after the state. The last one is ready or failed.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        **_UNKNOWN,
    },
)
async def events(
    request: Request, learner: Learning, style: Annotated[LearnedStyle, Depends(found_style)]
) -> AsyncIterable[ServerSentEvent]:
    """Stream the changes of a style as server-sent events."""
    sent: LearnedStyle | None = None
    yield ServerSentEvent(retry=_RETRY_MILLISECONDS)
    while True:
        if style != sent:
            data = _described(request, style).model_dump_json(exclude_none=True)
            yield ServerSentEvent(event=style.state, raw_data=data)
            sent = style
        if style.state in {"ready", "failed"}:
            return
        await asyncio.sleep(_POLL_SECONDS)
        try:
            style = await learner.find(style.name, owner_of(request))
        except UnknownModelError:  # deleted
            return


@router.delete("/styles/{name}", status_code=204, response_class=Response, responses=_UNKNOWN)
async def delete_style(name: str, learner: Learning, caller: Authorized) -> Response:
    """Stop learning a style, or remove a learned one. Bundled styles cannot be removed."""
    await learner.delete(name, caller.name)
    return Response(status_code=204)


def _described(request: Request, style: LearnedStyle) -> StyleState:
    preview = f"{_root(request)}/styles/{style.name}/preview?number={style.previews}" if style.previews else None
    return StyleState(
        name=style.name,
        state=style.state,
        private=style.private,
        progress=round(style.share, 3),
        seconds_left=style.seconds_left if style.state in {"queued", "learning"} else None,
        position=style.position,
        preview=preview,
        model=f"stylize/{style.name}" if style.state == "ready" else None,
        reason=style.reason,
    )


def _root(request: Request) -> str:
    root: str = request.scope.get("root_path", "")
    return root
