"""An answer as an HTTP response: what it says of itself in headers."""

from fastapi import Request, Response

from service.http.filename import content_disposition
from service.images.formats import MEDIA_TYPES, SUFFIXES
from service.pipeline.request import Answer, NotModified


def picture_response(request: Request, answer: Answer | NotModified, filename: str | None, what: str) -> Response:
    """The picture, or that the client has it already. filename: the uploaded one. what: was done to it."""
    if isinstance(answer, NotModified):
        return Response(status_code=304, headers={"ETag": answer.tag, "Vary": "Accept"})
    headers = {
        **_described(answer),
        "Content-Disposition": content_disposition(filename, what, SUFFIXES[answer.format]),
    }
    if request.app.state.settings.cache_bytes:
        headers["Cache-Status"] = "Impasto; hit" if answer.cached else "Impasto; fwd=miss"
    return Response(answer.body, media_type=MEDIA_TYPES[answer.format], headers=headers)


def _described(answer: Answer) -> dict[str, str]:
    stages = {"cache": 0.0} if answer.cached else answer.milliseconds
    headers = {
        **answer.declared,
        "Impasto-Model": ", ".join(_network(*source) for source in answer.sources) or "none",
        "Impasto-Exact": "true" if answer.exact else "false",
        "Server-Timing": ", ".join(f"{stage};dur={ms:.1f}" for stage, ms in stages.items()),
        "Vary": "Accept",
    }
    return {**headers, "ETag": answer.tag} if answer.tag else headers


def _network(identity: str, share: float | None) -> str:
    return identity if share is None else f"{identity};share={share:.3g}"
