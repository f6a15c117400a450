"""Probes, metrics, and what is served: for those who run the service."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from nets.architecture import Task
from service.registry import Registry

router = APIRouter(tags=["operations"])


@router.get("/", include_in_schema=False)
async def index() -> RedirectResponse:
    """The interactive documentation."""
    return RedirectResponse("/docs")


@router.head("/livez", include_in_schema=False)
@router.get("/livez")
async def livez(request: Request) -> JSONResponse:
    """Whether the event loop answers and every device computes; if not, restart the process."""
    alive = request.app.state.engine.alive or not request.app.state.warm
    return JSONResponse({"status": "alive" if alive else "dead"}, 200 if alive else 503)


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz")
@router.head("/healthz", include_in_schema=False)
@router.get("/healthz")
async def readyz(request: Request) -> JSONResponse:
    """Whether pictures are taken: every network has passed its warm-up, and the service is not shutting down."""
    state = request.app.state
    ready = state.admission.open and state.engine.alive and bool(state.registry.offers)
    return JSONResponse({"status": "ready" if ready else "unavailable"}, 200 if ready else 503)


@router.get("/models")
async def models(request: Request) -> dict[str, Any]:
    """The styles and factors that are served, and the checkpoint files that were refused, with the reason."""
    registry: Registry = request.app.state.registry
    return registry.summary()


@router.get("/models/{task}/{name}")
async def model(request: Request, task: Task, name: str) -> dict[str, Any]:
    """The card of one model: what it is, what it was trained on, by what licence."""
    registry: Registry = request.app.state.registry
    found = registry.find(task, name, "name")
    return {"model": found.key, "version": found.version, "facts": asdict(found.facts), **asdict(found.card)}


@router.get("/metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """Prometheus metrics."""
    return Response(generate_latest(request.app.state.metrics.registry), media_type=CONTENT_TYPE_LATEST)
