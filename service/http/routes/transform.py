"""POST /stylize and POST /upscale."""

import re
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from service.errors import ParameterError, shown
from service.http.disconnect import while_connected
from service.http.headers import parse_prefer
from service.http.routes.auth import charge_of, count_request, owner_of
from service.http.routes.objects import check_objects, read_upload, written_response
from service.http.routes.openapi import REQUEST, RESPONSES
from service.http.routes.respond_async import respond_async
from service.http.routes.responses import picture_response
from service.http.routes.webhooks import StylizeQuery, UpscaleQuery, parameters_of, webhook_of
from service.http.state import state_of
from service.pipeline.outputs import write_output
from service.pipeline.parameters import Parameters
from service.pipeline.request import TransformRequest

_JPG = re.compile(r"\bimage/p?jpg\b", re.IGNORECASE)


def refuse_repeated(request: Request) -> None:
    """Raise ParameterError for a query parameter that is given twice: it is not clear which value counts."""
    query = request.query_params
    for name in query:
        if len(values := query.getlist(name)) > 1:
            detail = f"query parameter {shown(name)!r} is given {len(values)} times; expected once"
            values = [shown(each) for each in values]
            raise ParameterError(detail, parameter=shown(name), value=values, expected="given once")


@dataclass(frozen=True)
class TransformHeaders:
    """Headers that say when the result is wanted, and whether the client fetches it later."""

    request_timeout: Annotated[
        float | None, Header(gt=0, le=3600, description="Deadline in seconds; deadline_ms takes precedence.")
    ] = None
    prefer: Annotated[
        str | None,
        Header(
            alias="Prefer",
            description="respond-async: 202, and a job from which to fetch the result. "
            "respond-async, wait=10: only if the result is not ready within 10 s.",
        ),
    ] = None
    idempotency_key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            min_length=1,
            max_length=255,
            description="With respond-async: the same key and request return the same job.",
        ),
    ] = None


router = APIRouter(tags=["pictures"], dependencies=[Depends(count_request), Depends(refuse_repeated)])


@router.post("/stylize", response_class=Response, responses=RESPONSES, openapi_extra=REQUEST)
async def stylize(
    request: Request,
    query: Annotated[StylizeQuery, Query()],
    headers: Annotated[TransformHeaders, Depends()],
) -> Response:
    """Paint an image in a style, or in a mix of styles. The output has the same size."""
    return await _transform(request, query, headers, request.query_params["style"])


@router.post("/upscale", response_class=Response, responses=RESPONSES, openapi_extra=REQUEST)
async def upscale(
    request: Request,
    query: Annotated[UpscaleQuery, Query()],
    headers: Annotated[TransformHeaders, Depends()],
) -> Response:
    """Enlarge an image. Each side is multiplied by `factor`."""
    factor = query.factor if isinstance(query.factor, str) else f"{query.factor:g}"
    return await _transform(request, query, headers, f"x{factor}")


async def _transform(
    request: Request, query: StylizeQuery | UpscaleQuery, headers: TransformHeaders, label: str
) -> Response:
    """Handle both endpoints. label: the style or factor, for the file name of the result."""
    state, parameters = state_of(request), parameters_of(query)
    preference = parse_prefer(request.headers.getlist("prefer"))
    unconditional = preference.respond_async or query.output is not None
    wanted = TransformRequest(
        parameters,
        accept=_accept(request),
        expires=_expires(request, parameters, headers),
        known_etags=() if unconditional else tuple(request.headers.getlist("if-none-match")),
        may_wait=preference.respond_async,
        owner=owner_of(request),
        output=check_objects(request, query),
    )
    state.pipeline.check(wanted)
    webhook = await webhook_of(request, query, preference.respond_async)
    upload = await read_upload(request, query)
    if preference.respond_async:
        return await respond_async(request, wanted, upload, label, preference, headers.idempotency_key, webhook)
    result = await while_connected(request, state.pipeline.transform(wanted, upload.data, charge=charge_of(request)))
    if wanted.output is not None:
        return written_response(await write_output(wanted, result, state.access.write))
    return picture_response(request, result, upload.filename, label)


def _accept(request: Request) -> str | None:
    """Return the Accept header. "image/jpg" and "image/pjpg" are common mistakes for "image/jpeg"."""
    accept = ", ".join(request.headers.getlist("accept"))
    return _JPG.sub("image/jpeg", accept) or None


def _expires(request: Request, parameters: Parameters, headers: TransformHeaders) -> float | None:
    """Return the deadline on the clock of time.monotonic, counted from the arrival of the request."""
    received: float = request.scope["state"]["received"]
    if parameters.deadline_ms is not None:
        return received + parameters.deadline_ms / 1000
    return None if headers.request_timeout is None else received + headers.request_timeout
