"""The Open Inference Protocol, version 2, over REST: for clients of KServe, MLServer and Triton."""

import asyncio
from dataclasses import replace
from typing import Any

import numpy as np
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from service import __version__
from service.errors import BodyError
from service.http.body import read_body
from service.http.disconnect import while_connected
from service.http.open_inference import codec
from service.http.open_inference.codec import Inference, Tensor
from service.http.open_inference.models import Entry, asked_of, entries, find
from service.http.open_inference.openapi import FOUND, INDEXED, INFER_REQUEST, INFERRED, LIVE, READY, SERVER
from service.http.problems import INFERENCE_PROTOCOL
from service.http.routes.auth import asks, charge_of, owner_of
from service.models.registry import Registry
from service.pipeline.pipeline import Pipeline
from service.pipeline.pixel_path import PixelPath
from service.pipeline.request import Answer, Asked, Charge

_JSON_LENGTH = "Inference-Header-Content-Length"
_PLATFORM = "impasto_pytorch"

router = APIRouter(prefix=INFERENCE_PROTOCOL, tags=["Open Inference Protocol"])


@router.get("", responses=SERVER)
async def server() -> dict[str, Any]:
    """What this server is."""
    return {"name": "impasto", "version": __version__, "extensions": ["binary_tensor_data"]}


@router.get("/health/live", responses=LIVE)
async def live(request: Request) -> JSONResponse:
    """As /livez."""
    alive = request.app.state.engine.alive or not request.app.state.warm
    return JSONResponse({"live": alive}, 200 if alive else 503)


@router.get("/health/ready", responses=READY)
async def ready(request: Request) -> JSONResponse:
    """As /readyz."""
    state = request.app.state
    takes = state.admission.open and state.engine.alive and bool(state.registry.entries)
    return JSONResponse({"ready": takes}, 200 if takes else 503)


@router.post("/repository/index", responses=INDEXED)
async def index(request: Request) -> list[dict[str, str]]:
    """The networks, and the files that are refused; what a body asks is not looked at."""
    registry: Registry = request.app.state.registry
    served = [
        {"name": entry.name, "version": entry.version, "state": "READY", "reason": ""}
        for entry in entries(registry).values()
    ]
    names = {file: file.removesuffix(".safetensors").replace("/", ".", 1) for file in registry.refused}
    taken = {entry["name"] for entry in served}
    return served + [
        {"name": names[file], "version": "", "state": "UNAVAILABLE", "reason": reason}
        for file, reason in registry.refused.items()
        if names[file] not in taken
    ]


@router.get("/models/{model}", responses=FOUND)
@router.get("/models/{model}/versions/{version}", responses=FOUND, operation_id="model_metadata_of_a_version")
async def model_metadata(request: Request, model: str, version: str | None = None) -> dict[str, Any]:
    """What a network takes and gives: one of two tensors, encoded pictures or pixels, and the same back."""
    entry = find(request.app.state.registry, model, version)
    both = [
        {"name": codec.IMAGE, "datatype": "BYTES", "shape": [-1]},
        {"name": codec.PIXELS, "datatype": "UINT8", "shape": [-1, -1, -1, 3]},
    ]
    return {"name": model, "versions": [entry.version], "platform": _PLATFORM, "inputs": both, "outputs": both}


@router.get("/models/{model}/ready", responses=READY)
@router.get("/models/{model}/versions/{version}/ready", responses=READY, operation_id="version_ready")
async def model_ready(request: Request, model: str, version: str | None = None) -> JSONResponse:
    """Whether a network is served, and pictures are taken."""
    find(request.app.state.registry, model, version)
    takes = request.app.state.admission.open
    return JSONResponse({"name": model, "ready": takes}, 200 if takes else 503)


@router.post(
    "/models/{model}/infer",
    response_class=Response,
    responses=INFERRED,
    openapi_extra=INFER_REQUEST,
    dependencies=[Depends(asks)],
)
@router.post(
    "/models/{model}/versions/{version}/infer",
    response_class=Response,
    responses=INFERRED,
    openapi_extra=INFER_REQUEST,
    operation_id="infer_by_a_version",
    dependencies=[Depends(asks)],
)
async def infer(request: Request, model: str, version: str | None = None) -> Response:
    """Run pictures through a network: JSON, or JSON and then the tensor's bytes."""
    state = request.app.state
    entry = find(state.registry, model, version)
    state.admission.refuse_if_full(owner_of(request))
    if request.headers.get("content-encoding", "identity") != "identity":
        raise BodyError("the body is compressed; expected one that is not, for pictures gain nothing")
    body = await read_body(request, state.settings.max_body_bytes)
    inference = await asyncio.to_thread(codec.read, body, request.headers.get(_JSON_LENGTH))
    asked, seconds = asked_of(entry, inference.parameters)
    asked = replace(asked, owner=owner_of(request))
    if seconds is not None:
        asked = replace(asked, expires=request.scope["state"]["received"] + seconds)
    work = (
        _pictures(state.pipeline, asked, inference, charge_of(request))
        if inference.tensor.images
        else _pixels(state.pixel_path, asked, inference, charge_of(request))
    )
    tensor, facts = await while_connected(request, work)
    return await _response(entry, inference, tensor, facts)


async def _pictures(
    pipeline: Pipeline, asked: Asked, inference: Inference, charge: Charge
) -> tuple[Tensor, dict[str, Any]]:
    """Encoded pictures, one after the other: each has its own permit."""
    answers = []
    for data in inference.tensor.images:
        answer = await pipeline.transform(asked, data, charge=charge)
        assert isinstance(answer, Answer)  # no entity tag was named
        answers.append(answer)
    shape = inference.tensor.shape
    facts = {"exact": all(answer.exact for answer in answers), "format": ",".join(answer.format for answer in answers)}
    return Tensor("image", shape, images=tuple(answer.body for answer in answers)), facts


async def _pixels(path: PixelPath, asked: Asked, inference: Inference, charge: Charge) -> tuple[Tensor, dict[str, Any]]:
    pixels = inference.tensor.pixels
    assert pixels is not None
    for name in ("format", "quality", "profile", "metadata"):
        if name in inference.parameters:
            raise BodyError(f"parameter {name!r} is for encoded pictures; expected none of it with the input 'pixels'")
    painted = await path.paint(asked, list(pixels), charge)
    stacked = np.stack(painted.pictures)
    shape = stacked.shape if len(inference.tensor.shape) == 4 else stacked.shape[1:]
    return Tensor("pixels", tuple(shape), pixels=stacked), {"exact": painted.exact}


async def _response(entry: Entry, inference: Inference, tensor: Tensor, facts: dict[str, Any]) -> Response:
    identity = {} if inference.identity is None else {"id": inference.identity}
    members = {"model_name": entry.name, "model_version": entry.version, **identity, "parameters": facts}
    body, json_bytes = await asyncio.to_thread(codec.write, members, tensor, inference.binary)
    if json_bytes is None:
        return Response(body, media_type="application/json")
    return Response(body, media_type="application/octet-stream", headers={_JSON_LENGTH: str(json_bytes)})
