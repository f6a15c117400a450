"""The Open Inference Protocol, version 2, over REST: for clients of KServe, MLServer and Triton."""

import asyncio
from typing import Any

import numpy as np
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from service import __version__
from service.errors import BodyError
from service.http.body import read_body
from service.http.disconnect import while_connected
from service.http.open_inference import codec
from service.http.open_inference.codec import InferenceRequest, Tensor
from service.http.open_inference.models import Entry, entries, find, parse
from service.http.open_inference.openapi import FOUND, INDEXED, INFER_REQUEST, INFERRED, LIVE, READY, SERVER
from service.http.problems import INFERENCE_PROTOCOL
from service.http.routes.auth import CallerName, charge_of, count_request, owner_of
from service.http.state import state_of
from service.pipeline.pipeline import Pipeline
from service.pipeline.request import Charge, TransformRequest

_JSON_LENGTH = "Inference-Header-Content-Length"
_PLATFORM = "impasto_pytorch"

router = APIRouter(prefix=INFERENCE_PROTOCOL, tags=["Open Inference Protocol"])


@router.get("", responses=SERVER)
async def server() -> dict[str, Any]:
    """Return the name, version and extensions of the server."""
    return {"name": "impasto", "version": __version__, "extensions": ["binary_tensor_data"]}


@router.get("/health/live", responses=LIVE)
async def live(request: Request) -> JSONResponse:
    """Tell the same as /livez."""
    alive = state_of(request).alive
    return JSONResponse({"live": alive}, 200 if alive else 503)


@router.get("/health/ready", responses=READY)
async def ready(request: Request) -> JSONResponse:
    """Tell the same as /readyz."""
    takes = state_of(request).ready
    return JSONResponse({"ready": takes}, 200 if takes else 503)


@router.post("/repository/index", responses=INDEXED)
async def index(request: Request, caller: CallerName) -> list[dict[str, str]]:
    """List the networks, and the files that were refused. A body is ignored."""
    registry = state_of(request).registry
    served = [
        {"name": entry.name, "version": entry.version, "state": "READY", "reason": ""}
        for entry in entries(registry.seen_by(caller)).values()
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
async def model_metadata(
    request: Request, caller: CallerName, model: str, version: str | None = None
) -> dict[str, Any]:
    """Describe the inputs and outputs of a network: a tensor of encoded images or of pixels, in both directions."""
    entry = find(state_of(request).registry.seen_by(caller), model, version)
    both = [
        {"name": codec.IMAGE, "datatype": "BYTES", "shape": [-1]},
        {"name": codec.PIXELS, "datatype": "UINT8", "shape": [-1, -1, -1, 3]},
    ]
    return {"name": model, "versions": [entry.version], "platform": _PLATFORM, "inputs": both, "outputs": both}


@router.get("/models/{model}/ready", responses=READY)
@router.get("/models/{model}/versions/{version}/ready", responses=READY, operation_id="version_ready")
async def model_ready(request: Request, caller: CallerName, model: str, version: str | None = None) -> JSONResponse:
    """Tell whether a network is served, and requests are accepted."""
    find(state_of(request).registry.seen_by(caller), model, version)
    takes = state_of(request).admission.is_open
    return JSONResponse({"name": model, "ready": takes}, 200 if takes else 503)


@router.post(
    "/models/{model}/infer",
    response_class=Response,
    responses=INFERRED,
    openapi_extra=INFER_REQUEST,
    dependencies=[Depends(count_request)],
)
@router.post(
    "/models/{model}/versions/{version}/infer",
    response_class=Response,
    responses=INFERRED,
    openapi_extra=INFER_REQUEST,
    operation_id="infer_by_a_version",
    dependencies=[Depends(count_request)],
)
async def infer(request: Request, model: str, version: str | None = None) -> Response:
    """Run images through a network. The body is JSON, or JSON followed by the bytes of the tensor."""
    state = state_of(request)
    entry = find(state.registry.seen_by(owner_of(request)), model, version)
    state.admission.refuse_if_full(owner_of(request))
    body = await read_body(request, state.settings.max_body_bytes)
    inference = await asyncio.to_thread(codec.read, body, request.headers.get(_JSON_LENGTH))
    parameters, seconds = parse(entry, inference.parameters)
    expires = None if seconds is None else request.scope["state"]["received"] + seconds
    wanted = TransformRequest(parameters, expires=expires, owner=owner_of(request))
    run = _run_images if inference.tensor.images else _run_pixels
    tensor, facts = await while_connected(request, run(state.pipeline, wanted, inference, charge_of(request)))
    return await _response(entry, inference, tensor, facts)


async def _run_images(
    pipeline: Pipeline, wanted: TransformRequest, inference: InferenceRequest, charge: Charge
) -> tuple[Tensor, dict[str, Any]]:
    """Transform encoded images one after another, each with a permit of its own."""
    results = [await pipeline.transform(wanted, data, charge=charge) for data in inference.tensor.images]
    facts = {"exact": all(result.exact for result in results), "format": ",".join(result.format for result in results)}
    return Tensor("image", inference.tensor.shape, images=tuple(result.body for result in results)), facts


async def _run_pixels(
    pipeline: Pipeline, wanted: TransformRequest, inference: InferenceRequest, charge: Charge
) -> tuple[Tensor, dict[str, Any]]:
    pixels = inference.tensor.pixels
    assert pixels is not None
    for name in ("format", "quality", "lossless", "profile", "metadata"):
        if name in inference.parameters:
            raise BodyError(f"parameter {name!r} is for encoded images only; it cannot be used with the input 'pixels'")
    result = await pipeline.transform_pixels(wanted, list(pixels), charge)
    stacked = np.stack(result.pictures)
    shape = stacked.shape if len(inference.tensor.shape) == 4 else stacked.shape[1:]
    floats = inference.tensor.floats
    return Tensor("pixels", tuple(shape), pixels=stacked, floats=floats), {"exact": result.exact}


async def _response(entry: Entry, inference: InferenceRequest, tensor: Tensor, facts: dict[str, Any]) -> Response:
    identity = {} if inference.identity is None else {"id": inference.identity}
    members = {"model_name": entry.name, "model_version": entry.version, **identity, "parameters": facts}
    body, json_bytes = await asyncio.to_thread(codec.write, members, tensor, inference.binary)
    if json_bytes is None:
        return Response(body, media_type="application/json")
    return Response(body, media_type="application/octet-stream", headers={_JSON_LENGTH: str(json_bytes)})
