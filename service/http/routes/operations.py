"""Probes, metrics, and what is served: for those who run the service."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from nets.architecture import Task
from service.errors import ParameterError, UnknownModelError
from service.http.openapi import problems
from service.images.formats import MEDIA_TYPES, SOURCE_MEDIA_TYPES
from service.models.registry import Registry
from service.pipeline.parameters import MOST_STYLES
from service.settings import Settings

_STATUS = {"schema": {"type": "object", "required": ["status"], "properties": {"status": {"type": "string"}}}}
_ALIVE: dict[int | str, dict[str, Any]] = {
    200: {"description": "It is.", "content": {"application/json": {**_STATUS, "example": {"status": "alive"}}}},
    503: {"description": "It is not.", "content": {"application/json": {**_STATUS, "example": {"status": "dead"}}}},
}
_READY: dict[int | str, dict[str, Any]] = {
    200: {"description": "They are.", "content": {"application/json": {**_STATUS, "example": {"status": "ready"}}}},
    503: {
        "description": "They are not.",
        "content": {"application/json": {**_STATUS, "example": {"status": "unavailable"}}},
    },
}
_TEXT: dict[int | str, dict[str, Any]] = {
    200: {"description": "The text format.", "content": {"text/plain": {"schema": {"type": "string"}}}}
}

probes = APIRouter(tags=["operations"])
inside = APIRouter(tags=["operations"])
router = APIRouter(tags=["operations"])
"""What asks whether it lives; what is for those who run it; what a client should know."""


@probes.get("/livez", responses=_ALIVE)
async def livez(request: Request) -> JSONResponse:
    """Whether the event loop answers and every device computes; if not, restart the process."""
    alive = request.app.state.engine.alive or not request.app.state.warm
    return JSONResponse({"status": "alive" if alive else "dead"}, 200 if alive else 503)


@probes.get("/readyz", responses=_READY)
@probes.get("/healthz", responses=_READY, operation_id="healthz")
async def readyz(request: Request) -> JSONResponse:
    """Whether pictures are taken: every network has passed its warm-up, and the service is not shutting down."""
    state = request.app.state
    ready = state.admission.open and state.engine.alive and bool(state.registry.entries)
    return JSONResponse({"status": "ready" if ready else "unavailable"}, 200 if ready else 503)


@router.get("/models", responses=problems())
async def models(request: Request) -> dict[str, Any]:
    """The styles and factors that are served, and the checkpoint files that were refused, with the reason."""
    registry: Registry = request.app.state.registry
    return registry.summary()


@router.get("/limits", responses=problems())
async def limits(request: Request) -> dict[str, Any]:
    """How large a picture and its answer may be, and the formats that are taken and given."""
    settings: Settings = request.app.state.settings
    names = ("max_body_bytes", "max_pixels", "max_frames", "max_output_pixels", "max_whole_pixels")
    return {
        **{name: getattr(settings, name) for name in names},
        "max_styles": MOST_STYLES,
        "takes": list(SOURCE_MEDIA_TYPES),
        "gives": list(MEDIA_TYPES),
    }


@router.get("/models/{task}/{name}", responses=problems(UnknownModelError, ParameterError))
async def model(request: Request, task: Task, name: str) -> dict[str, Any]:
    """The card of one model: what it is, what it was trained on, by what licence."""
    registry: Registry = request.app.state.registry
    found = registry.find(task, name, "name")
    return {"model": found.key, "version": found.version, "facts": asdict(found.facts), **asdict(found.card)}


@inside.get("/metrics", response_class=Response, responses=_TEXT)
async def metrics(request: Request) -> Response:
    """Prometheus metrics."""
    return Response(generate_latest(request.app.state.metrics.registry), media_type=CONTENT_TYPE_LATEST)
