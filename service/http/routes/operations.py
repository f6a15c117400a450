"""Routes for operators: probes, metrics, the models that are served, and their reload."""

import asyncio
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from nets.architecture import Task
from service.errors import ForbiddenError, ParameterError, UnauthorizedError, UnknownModelError
from service.http.openapi import NOT_FOUND, problems
from service.http.routes.auth import CallerName, require_admin
from service.http.state import state_of
from service.images.formats import MEDIA_TYPES, SOURCE_MEDIA_TYPES
from service.pipeline.parameters import MOST_STYLES

_LIMITS = (
    "max_body_bytes",
    "max_pixels",
    "max_frames",
    "max_output_pixels",
    "max_pixels_in_flight",
    "max_whole_pixels",
    "max_requests",
)
_STATUS = {"schema": {"type": "object", "required": ["status"], "properties": {"status": {"type": "string"}}}}
_ALIVE: dict[int | str, dict[str, Any]] = {
    200: {"description": "Alive.", "content": {"application/json": {**_STATUS, "example": {"status": "alive"}}}},
    503: {"description": "Not alive.", "content": {"application/json": {**_STATUS, "example": {"status": "dead"}}}},
}
_READY: dict[int | str, dict[str, Any]] = {
    200: {"description": "Ready.", "content": {"application/json": {**_STATUS, "example": {"status": "ready"}}}},
    503: {
        "description": "Not ready.",
        "content": {"application/json": {**_STATUS, "example": {"status": "unavailable"}}},
    },
}
_TEXT: dict[int | str, dict[str, Any]] = {
    200: {"description": "Prometheus text format.", "content": {"text/plain": {"schema": {"type": "string"}}}}
}

probes = APIRouter(tags=["operations"])
internal = APIRouter(tags=["operations"])
router = APIRouter(tags=["operations"])
admin = APIRouter(tags=["admin"], dependencies=[Depends(require_admin)])
"""For orchestrators; for monitoring; for clients; for holders of a key with the scope admin."""


@probes.get("/livez", responses=_ALIVE)
async def livez(request: Request) -> JSONResponse:
    """Tell whether the event loop and every device work. If not, restart the process."""
    alive = state_of(request).alive
    return JSONResponse({"status": "alive" if alive else "dead"}, 200 if alive else 503)


@probes.get("/readyz", responses=_READY)
@probes.get("/healthz", responses=_READY, operation_id="healthz")
async def readyz(request: Request) -> JSONResponse:
    """Tell whether requests are accepted: every network has passed its warm-up, and no shutdown has begun."""
    ready = state_of(request).ready
    return JSONResponse({"status": "ready" if ready else "unavailable"}, 200 if ready else 503)


@router.get("/models", responses=problems())
async def models(request: Request, caller: CallerName) -> dict[str, Any]:
    """List the styles and factors that are served, and the checkpoint files that were refused, with the reason.

    A private style is listed for the key that owns it only.
    """
    return state_of(request).registry.summary(caller)


@router.get("/limits", responses=problems())
async def limits(request: Request) -> dict[str, Any]:
    """List the limits on the size of inputs and outputs, and the supported formats.

    max_requests: further requests in flight are refused, so send no more at once.
    learn_minutes: the default training time of a style; null where no style can be learned.
    """
    state = state_of(request)
    settings = state.settings
    learns = state.learner is not None and await asyncio.to_thread(state.learner.obstacle) is None
    return {
        **{name: getattr(settings, name) for name in _LIMITS},
        "max_styles": MOST_STYLES,
        "learn_minutes": settings.learn_minutes if learns else None,
        "takes": list(SOURCE_MEDIA_TYPES),
        "gives": list(MEDIA_TYPES),
    }


@router.get("/models/{task}/{name}", responses=problems(UnknownModelError, ParameterError))
async def model(request: Request, task: Task, name: str, caller: CallerName) -> dict[str, Any]:
    """Return the card of one model: its architecture, training and licence."""
    return state_of(request).registry.seen_by(caller).find(task, name, "name").describe()


@internal.get("/metrics", response_class=Response, responses=_TEXT)
async def metrics(request: Request) -> Response:
    """Return metrics for Prometheus."""
    return Response(generate_latest(state_of(request).metrics.registry), media_type=CONTENT_TYPE_LATEST)


@admin.post("/models/reload", responses={**problems(UnauthorizedError, ForbiddenError), **NOT_FOUND})
async def reload(request: Request) -> dict[str, list[str]]:
    """Read the folder of checkpoints again. New and changed files are verified, warmed up and served.

    Without IMPASTO_ADMIN_KEY and IMPASTO_KEYS_FILE the path does not exist. With IMPASTO_PROBE_PORT it is only there.
    """
    return await state_of(request).registry.reload()
