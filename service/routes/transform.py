"""POST /stylize and POST /upscale."""

from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from service.body import FIELD, read_picture
from service.connection import while_connected
from service.decoded import MetadataPolicy, ProfilePolicy
from service.errors import PROBLEM_JSON, ParameterError, shown
from service.formats import MEDIA_TYPES, SOURCE_MEDIA_TYPES, Format
from service.pipeline import Asked, Pipeline

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_FORM = {
    "schema": {
        "type": "object",
        "required": [FIELD],
        "properties": {FIELD: {"type": "string", "format": "binary"}},
    }
}
_REQUEST_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {**dict.fromkeys(SOURCE_MEDIA_TYPES.values(), _BINARY), "multipart/form-data": _FORM},
    }
}
_PROBLEM = {"content": {PROBLEM_JSON: {"schema": {"type": "object"}}}}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The picture.", "content": dict.fromkeys(MEDIA_TYPES.values(), _BINARY)},
    404: {"description": "No such style or factor; the served ones are listed.", **_PROBLEM},
    406: {"description": "No format that the client accepts can be made.", **_PROBLEM},
    413: {"description": "Too many bytes or pixels.", **_PROBLEM},
    415: {"description": "Not an image of a format that is taken.", **_PROBLEM},
    422: {"description": "A parameter, the body or the image is not as it should be.", **_PROBLEM},
    504: {"description": "The deadline cannot be met, or has passed.", **_PROBLEM},
    503: {"description": "Busy; come back after Retry-After seconds.", **_PROBLEM},
}


def refuse_surprises(request: Request) -> None:
    """Refuse a query parameter that is given twice, or that no one reads: a slip would pass for a default."""
    dependant = request.scope["route"].dependant
    known = {parameter.alias for each in (dependant, *dependant.dependencies) for parameter in each.query_params}
    seen: set[str] = set()
    for name, value in request.query_params.multi_items():
        if name not in known:
            detail = f"query parameter {shown(name)!r} is unknown; known: {', '.join(sorted(known))}"
            raise ParameterError(detail, parameter=shown(name), value=shown(value), expected=sorted(known))
        if name in seen:
            values = [shown(each) for each in request.query_params.getlist(name)]
            detail = f"query parameter {name!r} is given {len(values)} times; expected once"
            raise ParameterError(detail, parameter=name, value=values, expected="given once")
        seen.add(name)


def expiry(
    request: Request,
    deadline_ms: Annotated[
        int | None,
        Query(ge=1, le=3_600_000, description="Milliseconds within which the answer is wanted; else 504, at once."),
    ] = None,
    request_timeout: Annotated[
        float | None, Header(gt=0, le=3600, description="The same in seconds; deadline_ms goes before it.")
    ] = None,
) -> float | None:
    """When the client stops waiting, on the clock of time.monotonic, counted from the arrival of its request."""
    received: float = request.scope["state"]["received"]
    if deadline_ms is not None:
        return received + deadline_ms / 1000
    return None if request_timeout is None else received + request_timeout


Expiry = Annotated[float | None, Depends(expiry)]


@dataclass(frozen=True)
class Output:
    """How the answer is wanted, whatever is done to the picture."""

    kind: Annotated[
        Format | None, Query(alias="format", description="Of the answer; default: by Accept, else the picture's own.")
    ] = None
    quality: Annotated[
        int | None, Query(ge=1, le=100, description="Of a JPEG, WebP or AVIF: 100 is best. PNG and GIF have none.")
    ] = None
    profile: Annotated[
        ProfilePolicy, Query(description="keep: the picture's own colour profile; srgb: converted and tagged as sRGB.")
    ] = "keep"
    metadata: Annotated[
        MetadataPolicy, Query(description="keep: EXIF, XMP and comments, as far as the format can; upright.")
    ] = "strip"


router = APIRouter(tags=["pictures"], dependencies=[Depends(refuse_surprises)])


@router.post("/stylize", response_class=Response, responses=_RESPONSES, openapi_extra=_REQUEST_BODY)
async def stylize(
    request: Request,
    style: Annotated[str, Query(description="A style that GET /models lists.", examples=["mosaic"])],
    expires: Expiry,
    output: Annotated[Output, Depends()],
) -> Response:
    """Repaint a picture in a style: the answer has the picture's size."""
    return await _transform(request, Asked("stylize", "style", style, expires=expires), output)


@router.post("/upscale", response_class=Response, responses=_RESPONSES, openapi_extra=_REQUEST_BODY)
async def upscale(
    request: Request,
    factor: Annotated[int, Query(description="A factor that GET /models lists.", examples=[4])],
    expires: Expiry,
    output: Annotated[Output, Depends()],
    detail: Annotated[int, Query(ge=0, le=1, description="0: faithful to the pixels; 1: sharper to the eye.")] = 0,
) -> Response:
    """Enlarge a picture: each side becomes `factor` times as long."""
    pipeline: Pipeline = request.app.state.pipeline
    pipeline.check("upscale", "factor", f"x{factor}")
    parameter, name = ("detail", f"x{factor}_perceptual") if detail else ("factor", f"x{factor}")
    return await _transform(request, Asked("upscale", parameter, name, expires=expires), output)


async def _transform(request: Request, asked: Asked, output: Output) -> Response:
    pipeline: Pipeline = request.app.state.pipeline
    pipeline.check(asked.task, asked.parameter, asked.name)
    data = await read_picture(request, request.app.state.settings.max_body_bytes)
    accept = ", ".join(request.headers.getlist("accept")) or None
    asked = replace(
        asked,
        format=output.kind,
        accept=accept,
        quality=output.quality,
        profile=output.profile,
        metadata=output.metadata,
    )
    answer = await while_connected(request, pipeline.transform(asked, data))
    headers = {
        **answer.declared,
        "Impasto-Model": answer.model.identity,
        "Impasto-Exact": "true" if answer.exact else "false",
        "Server-Timing": ", ".join(f"{stage};dur={ms:.1f}" for stage, ms in answer.milliseconds.items()),
        "Vary": "Accept",
    }
    return Response(answer.body, media_type=answer.media_type, headers=headers)
