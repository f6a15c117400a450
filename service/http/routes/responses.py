"""A result as an HTTP response, with the headers that describe it."""

from fastapi import Request, Response

from service.http.headers import content_disposition
from service.http.state import state_of
from service.images.formats import MEDIA_TYPES, SUFFIXES
from service.pipeline.prepared import FACTOR_HEADER
from service.pipeline.request import TransformResult


def picture_response(request: Request, result: TransformResult, filename: str | None, label: str) -> Response:
    """Build the response. filename: of the upload. label: the style or factor, for the file name of the result."""
    if (factor := result.declared.get(FACTOR_HEADER)) is not None:  # of factor=max, the label is not known before
        label = f"x{factor}"
    headers = {
        **headers_of(result),
        "Content-Disposition": content_disposition(filename, label, SUFFIXES[result.format]),
    }
    if state_of(request).settings.cache_bytes:
        headers["Cache-Status"] = "Impasto; hit" if result.cached else "Impasto; fwd=miss"
    return Response(result.body, media_type=MEDIA_TYPES[result.format], headers=headers)


def headers_of(result: TransformResult) -> dict[str, str]:
    """Return the headers that describe a result."""
    stages = {"cache": 0.0} if result.cached else result.milliseconds
    headers = {
        **result.declared,
        "Impasto-Model": result.model_names,
        "Impasto-Exact": "true" if result.exact else "false",
        "Server-Timing": ", ".join(f"{stage};dur={ms:.1f}" for stage, ms in stages.items()),
        "Vary": "Accept",
    }
    return {**headers, "ETag": result.etag} if result.etag else headers
