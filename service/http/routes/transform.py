"""POST /stylize and POST /upscale."""

from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import WithJsonSchema

from service.errors import ParameterError, shown
from service.http.body import read_picture
from service.http.disconnect import while_connected
from service.http.prefer import parse_prefer
from service.http.routes.auth import asks, charge_of, owner_of
from service.http.routes.openapi import REQUEST, RESPONSES, STROKE_SCHEMA
from service.http.routes.respond_async import Later, promise
from service.http.routes.responses import picture_response
from service.images.formats import Format
from service.images.types import MetadataPolicy, ProfilePolicy
from service.pipeline.parameters import LARGEST_FACTOR, Enlarging, Stylizing, parse_stroke, parse_styles
from service.pipeline.pipeline import Pipeline
from service.pipeline.request import Asked


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


router = APIRouter(tags=["pictures"], dependencies=[Depends(asks), Depends(refuse_surprises)])


@router.post("/stylize", response_class=Response, responses=RESPONSES, openapi_extra=REQUEST)
async def stylize(
    request: Request,
    style: Annotated[
        str,
        Query(
            description="A style that GET /models lists, or several with weights.",
            openapi_examples={
                "one": {"summary": "One style.", "value": "mosaic"},
                "two": {"summary": "Between two.", "value": "mosaic:0.7,wave:0.3"},
            },
        ),
    ],
    expires: Expiry,
    output: Annotated[Output, Depends()],
    later: Annotated[Later, Depends()],
    strength: Annotated[
        float, Query(ge=0, le=1, allow_inf_nan=False, description="0: the photograph, 1: the style.")
    ] = 1.0,
    preserve_color: Annotated[bool, Query(description="Keep the photograph's colours: only light is painted.")] = False,
    stroke: Annotated[
        str,
        Query(description="How many times larger strokes are than the network's own; auto: by the picture's size."),
        WithJsonSchema(STROKE_SCHEMA),
    ] = "auto",
    max_side: Annotated[
        int | None, Query(ge=16, le=100_000, description="The answer's longest side in pixels, at most.")
    ] = None,
) -> Response:
    """Repaint a picture in a style, or between several: the answer has the picture's size."""
    knobs = Stylizing(parse_styles(style), strength, preserve_color, parse_stroke(stroke), max_side)
    return await _transform(request, Asked(knobs, expires=expires), output, later, style)


@router.post("/upscale", response_class=Response, responses=RESPONSES, openapi_extra=REQUEST)
async def upscale(
    request: Request,
    factor: Annotated[
        float,
        Query(
            ge=1,
            le=LARGEST_FACTOR,
            allow_inf_nan=False,
            description="Any number from 1 to the largest factor that GET /models lists.",
            examples=[4, 2.5],
        ),
    ],
    expires: Expiry,
    output: Annotated[Output, Depends()],
    later: Annotated[Later, Depends()],
    detail: Annotated[
        float, Query(ge=0, le=1, allow_inf_nan=False, description="0: faithful to the pixels; 1: sharper to the eye.")
    ] = 0.0,
) -> Response:
    """Enlarge a picture: each side becomes `factor` times as long."""
    return await _transform(request, Asked(Enlarging(factor, detail), expires=expires), output, later, f"x{factor:g}")


async def _transform(request: Request, asked: Asked, output: Output, later: Later, what: str) -> Response:
    pipeline: Pipeline = request.app.state.pipeline
    preference = parse_prefer(request.headers.getlist("prefer"))
    owner = owner_of(request)
    pipeline.check(asked.knobs, patient=preference.respond_async, owner=owner)
    upload = await read_picture(request, request.app.state.settings.max_body_bytes)
    accept = ", ".join(request.headers.getlist("accept")) or None
    asked = replace(
        asked,
        format=output.kind,
        accept=accept,
        quality=output.quality,
        profile=output.profile,
        metadata=output.metadata,
        if_none_match=tuple(request.headers.getlist("if-none-match")),
        owner=owner,
    )
    if preference.respond_async:
        return await promise(request, asked, upload, what, preference, later.key)
    answer = await while_connected(request, pipeline.transform(asked, upload.data, charge=charge_of(request)))
    return picture_response(request, answer, upload.filename, what)
