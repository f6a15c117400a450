"""What the OpenAPI document says of bodies and errors: schemas, and an example for every code."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from fastapi import FastAPI

from service.errors import (
    AnswerTooLargeError,
    BodyError,
    BodyTooLargeError,
    BrokenImageError,
    DeadlineError,
    ForbiddenError,
    HeadersTooLargeError,
    IdempotencyError,
    InferenceError,
    NoResultError,
    NotAcceptableError,
    NotHttpError,
    OverloadedError,
    ParameterError,
    QuotaError,
    ServiceError,
    SlowRequestError,
    TooManyFramesError,
    TooManyPixelsError,
    UnauthorizedError,
    UnavailableError,
    UnknownJobError,
    UnknownModelError,
    UnsupportedImageError,
)
from service.http.operation_ids import name_operations
from service.http.problems import PROBLEM_JSON, problem_content

BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_PROBLEM = {"$ref": "#/components/schemas/Problem"}
_REQUEST_ID = "9f4a27be713a45cc"
_SCHEMA: dict[str, Any] = {
    "title": "Problem",
    "description": "Why there is no answer (RFC 9457). Some problems have further members.",
    "type": "object",
    "required": ["type", "title", "status", "code", "detail", "request_id"],
    "properties": {
        "type": {"type": "string", "description": "urn:impasto:problem: and the code."},
        "title": {"type": "string", "description": "The status in words."},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "code": {"type": "string", "description": "What went wrong; programs should go by this."},
        "detail": {"type": "string", "description": "The same for people."},
        "request_id": {"type": ["string", "null"], "description": "As in X-Request-ID and in the log."},
        "parameter": {"type": "string", "description": "The query parameter, header or field that is wrong."},
        "value": {"description": "What was found there."},
        "expected": {"description": "What would have been right: words, or a list of values."},
    },
}
_EXAMPLES: Mapping[type[ServiceError], dict[str, Any]] = {
    ParameterError: {
        "detail": "query parameter 'stroke' is 'big'; expected auto, off, or a number from 1 to 8",
        "parameter": "stroke",
        "value": "big",
        "expected": "auto, off, or a number from 1 to 8",
    },
    UnknownModelError: {
        "detail": "style 'mosiac' is not served; served: mosaic, starry_night",
        "parameter": "style",
        "value": "mosiac",
        "expected": ["mosaic", "starry_night"],
    },
    BodyError: {
        "detail": "the multipart form has the fields ['photo']; expected one file in the field 'image'",
        "parameter": "image",
        "expected": "one file",
    },
    BodyTooLargeError: {
        "detail": "40000000 bytes are announced; expected at most 33554432",
        "expected": "at most 33554432 bytes",
    },
    UnsupportedImageError: {
        "detail": "the body looks like PDF; expected image/jpeg, image/png, image/webp",
        "value": "PDF",
        "expected": ["image/jpeg", "image/png", "image/webp"],
    },
    BrokenImageError: {
        "detail": "the JPEG cannot be decoded: image file is truncated",
        "value": "jpeg",
        "expected": "a whole, undamaged image",
    },
    TooManyPixelsError: {
        "detail": "the picture is 12000 x 10000; expected at most 12500000 pixels",
        "value": "12000x10000",
        "expected": "expected at most 12500000 pixels",
    },
    TooManyFramesError: {
        "detail": "the animation has 301 frames or more; expected at most 300",
        "value": 301,
        "expected": "at most 300 frames",
    },
    NotAcceptableError: {
        "detail": "Accept 'text/html' names no format that can be made: image/png, image/webp, image/jpeg",
        "parameter": "Accept",
        "value": "text/html",
        "expected": ["image/png", "image/webp", "image/jpeg"],
    },
    OverloadedError: {
        "detail": "32 requests are in flight, the limit is 32; try again in 4 s",
        "limit": 32,
        "retry_after_seconds": 4,
    },
    UnavailableError: {"detail": "the service is starting or shutting down"},
    DeadlineError: {
        "detail": "the answer would take about 2.1 s, the deadline is in 0.5 s",
        "parameter": "deadline_ms",
        "predicted_seconds": 2.1,
        "expected": "a later deadline, a smaller picture, or another try when less is queued",
    },
    UnauthorizedError: {
        "detail": "expected a header 'Authorization: Bearer KEY' or 'X-API-Key: KEY'",
        "parameter": "Authorization",
        "expected": "a header 'Authorization: Bearer KEY' or 'X-API-Key: KEY'",
    },
    ForbiddenError: {
        "detail": "this key has the scope transform; expected one with admin",
        "parameter": "Authorization",
        "expected": "admin",
    },
    QuotaError: {
        "detail": "this key may use 60 requests a minute, 0 are left; try again in 12 s",
        "quota": "requests",
        "limit": 60,
        "remaining": 0,
        "retry_after_seconds": 12,
        "violated-policies": ["requests"],
    },
    SlowRequestError: {
        "detail": "900 bytes of the body have come in 30.1 s; "
        "expected the whole body within 30 s, and 1 s for every 8192 bytes",
        "expected": "the whole body within 30 s, and 1 s for every 8192 bytes",
    },
    HeadersTooLargeError: {
        "detail": "the request line and headers have more than 16384 bytes; expected at most 16384 bytes",
        "expected": "at most 16384 bytes",
    },
    NotHttpError: {"detail": "invalid http request received", "expected": "an HTTP/1.1 request"},
    InferenceError: {"detail": "the network failed on this picture"},
    UnknownJobError: {"detail": "no such job: it never was, was deleted, or its 600 s are over"},
    NoResultError: {"detail": "the job has no result: it is running", "value": "running", "expected": "done"},
    IdempotencyError: {
        "detail": "this Idempotency-Key came with another request before; expected a new key",
        "parameter": "Idempotency-Key",
        "expected": "a new key for another request",
    },
    AnswerTooLargeError: {
        "detail": "the answer has 300000000 bytes, more than can be kept; ask for it without Prefer: respond-async",
        "expected": "at most 268435456 bytes for all jobs",
    },
}
NOT_FOUND: dict[int | str, dict[str, Any]] = {
    404: {"description": "There is no such path.", "content": {PROBLEM_JSON: {"schema": _PROBLEM}}}
}
OTHERWISE: dict[int | str, dict[str, Any]] = {
    "default": {"description": "Another problem.", "content": {PROBLEM_JSON: {"schema": _PROBLEM}}}
}
_UNFORESEEN = {"detail": "an error that we did not foresee; the log has it under this request_id"}
_RETRY_AFTER = {"Retry-After": {"description": "Seconds after which to come back.", "schema": {"type": "integer"}}}


def problems(*kinds: type[ServiceError]) -> dict[int | str, dict[str, Any]]:
    """The responses of an operation that says no in these ways, by status; and the one that nobody foresaw."""
    found: dict[int | str, dict[str, Any]] = {}
    for kind in kinds:
        _add(found, kind.status, kind.code, (kind.__doc__ or "").strip(), _EXAMPLES[kind])
    _add(found, 500, "internal", "An error that we did not foresee.", _UNFORESEEN)
    for status in (429, 503):
        if status in found:
            found[status]["headers"] = _RETRY_AFTER
    return found


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in document.get("paths", {}).values():
        yield from path.values()


def _add(found: dict[int | str, dict[str, Any]], status: int, code: str, summary: str, facts: dict[str, Any]) -> None:
    content = {PROBLEM_JSON: {"schema": _PROBLEM, "examples": {}}}
    response = found.setdefault(status, {"description": "", "content": content})
    response["description"] = f"{response['description']} {summary}".strip()
    example = problem_content(status, code, request_id=_REQUEST_ID, **facts)
    response["content"][PROBLEM_JSON]["examples"][code] = {"summary": summary, "value": example}


def describe(app: FastAPI) -> None:
    """Make the app's document complete: with the schema of problems, and without that of the framework's own errors."""
    made: Callable[[], dict[str, Any]] = app.openapi

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            schemas = made().setdefault("components", {}).setdefault("schemas", {})
            schemas["Problem"] = _SCHEMA
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
            name_operations(app.openapi_schema or {})
            for operation in _operations(app.openapi_schema or {}):
                if "security" in operation:
                    operation["security"].append({})  # where the service asks for no key
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # the framework's own way
