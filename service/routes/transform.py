"""POST /stylize and POST /upscale."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from nets.architecture import Task
from service.body import FIELD, read_picture
from service.errors import PROBLEM_JSON, ParameterError, shown
from service.formats import MEDIA_TYPES, Format
from service.pipeline import Pipeline

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
        "content": {**dict.fromkeys(MEDIA_TYPES.values(), _BINARY), "multipart/form-data": _FORM},
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
    503: {"description": "Busy; come back after Retry-After seconds.", **_PROBLEM},
}


def refuse_surprises(request: Request) -> None:
    """Refuse a query parameter that is given twice, or that no one reads: a slip would pass for a default."""
    known = {parameter.alias for parameter in request.scope["route"].dependant.query_params}
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


OutputFormat = Annotated[Format | None, Query(alias="format", description="Format of the answer; default: by Accept.")]

router = APIRouter(tags=["pictures"], dependencies=[Depends(refuse_surprises)])


@router.post("/stylize", response_class=Response, responses=_RESPONSES, openapi_extra=_REQUEST_BODY)
async def stylize(
    request: Request,
    style: Annotated[str, Query(description="A style that GET /models lists.", examples=["mosaic"])],
    output: OutputFormat = None,
) -> Response:
    """Repaint a picture in a style: the answer has the picture's size."""
    return await _transform(request, "stylize", "style", style, output)


@router.post("/upscale", response_class=Response, responses=_RESPONSES, openapi_extra=_REQUEST_BODY)
async def upscale(
    request: Request,
    factor: Annotated[int, Query(description="A factor that GET /models lists.", examples=[4])],
    detail: Annotated[int, Query(ge=0, le=1, description="0: faithful to the pixels; 1: sharper to the eye.")] = 0,
    output: OutputFormat = None,
) -> Response:
    """Enlarge a picture: each side becomes `factor` times as long."""
    pipeline: Pipeline = request.app.state.pipeline
    pipeline.check("upscale", "factor", f"x{factor}")
    if detail:
        return await _transform(request, "upscale", "detail", f"x{factor}_perceptual", output)
    return await _transform(request, "upscale", "factor", f"x{factor}", output)


async def _transform(request: Request, task: Task, parameter: str, name: str, output: Format | None) -> Response:
    pipeline: Pipeline = request.app.state.pipeline
    pipeline.check(task, parameter, name)
    data = await read_picture(request, request.app.state.settings.max_body_bytes)
    accept = ", ".join(request.headers.getlist("accept")) or None
    answer = await pipeline.transform(task, parameter, name, data, output, accept)
    headers = {
        "Impasto-Model": answer.model.identity,
        "Server-Timing": ", ".join(f"{stage};dur={ms:.1f}" for stage, ms in answer.milliseconds.items()),
        "Vary": "Accept",
    }
    return Response(answer.body, media_type=answer.media_type, headers=headers)
