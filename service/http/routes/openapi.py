"""What the OpenAPI document says about /stylize and /upscale, besides their parameters."""

from typing import Any

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
    NotAcceptableError,
    NotHttpError,
    OverloadedError,
    ParameterError,
    QuotaError,
    SlowRequestError,
    TooManyFramesError,
    TooManyPixelsError,
    UnauthorizedError,
    UnavailableError,
    UnknownModelError,
    UnsupportedImageError,
)
from service.http.body import EXAMPLE_BASE64, FIELD, FORM, JSON
from service.http.openapi import BINARY, problems
from service.images.formats import MEDIA_TYPES, SOURCE_MEDIA_TYPES

_PICTURE: dict[str, Any] = {"type": "string", "format": "binary"}
_FORM = {"schema": {"type": "object", "required": [FIELD], "properties": {FIELD: _PICTURE}}}
_JSON_PICTURE = {
    "type": "string",
    "format": "base64-picture",
    "description": "base64, alone or in a data URL. Other URLs are refused.",
}
_JSON = {
    "schema": {
        "type": "object",
        "required": [FIELD],
        "properties": {FIELD: _JSON_PICTURE},
        "additionalProperties": False,
    },
    "examples": {
        "base64": {"summary": "base64 alone.", "value": {FIELD: EXAMPLE_BASE64}},
        "data URL": {"summary": "A data URL.", "value": {FIELD: f"data:image/png;base64,{EXAMPLE_BASE64}"}},
    },
}
_IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "Entity tags of outputs that the client has. If one matches, the response is 304.",
    "schema": {"type": "string", "examples": ['W/"0123456789abcdef"']},
}
REQUEST: dict[str, Any] = {
    "parameters": [_IF_NONE_MATCH],
    "requestBody": {
        "required": True,
        "description": "The image, a multipart form, or JSON. The format is detected from the bytes.",
        "content": {**dict.fromkeys(SOURCE_MEDIA_TYPES.values(), BINARY), FORM: _FORM, JSON: _JSON},
    },
}
_HEADERS = {
    "ETag": "Changes with the picture, the parameters, the networks and the version; for If-None-Match.",
    "Impasto-Model": "The networks that made the output, with versions and shares.",
    "Impasto-Exact": "false if the normalisation statistics come from a reduced image.",
    "Impasto-Profile": "What happened to the colour profile of the input: kept, srgb or ignored.",
    "Impasto-Depth": "8 if the input had more bits than the output.",
    "Impasto-Frames": "The frames or pages that were read, if not all: 1/12.",
    "Cache-Status": "Whether the output came from the cache (RFC 9211), if the cache is on.",
    "Server-Timing": "Milliseconds in each stage.",
    "Content-Disposition": "A file name.",
    "X-Request-ID": "The X-Request-ID of the request if it is well formed, otherwise a new one.",
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The picture.",
        "content": dict.fromkeys(MEDIA_TYPES.values(), BINARY),
        "headers": {name: {"description": what, "schema": {"type": "string"}} for name, what in _HEADERS.items()},
    },
    202: {
        "description": "With Prefer: respond-async: the request became a job.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/JobStatus"}}},
        "headers": {
            "Location": {"description": "The URL of the job.", "schema": {"type": "string"}},
            "Preference-Applied": {"description": "respond-async.", "schema": {"type": "string"}},
            "Retry-After": {"description": "Seconds until the job should be done.", "schema": {"type": "integer"}},
        },
    },
    304: {"description": "If-None-Match names the ETag of the output. Nothing was computed."},
    **problems(
        UnauthorizedError,
        ForbiddenError,
        QuotaError,
        SlowRequestError,
        HeadersTooLargeError,
        NotHttpError,
        ParameterError,
        UnknownModelError,
        NotAcceptableError,
        BodyError,
        BodyTooLargeError,
        TooManyPixelsError,
        TooManyFramesError,
        UnsupportedImageError,
        BrokenImageError,
        OverloadedError,
        UnavailableError,
        DeadlineError,
        InferenceError,
        IdempotencyError,
        AnswerTooLargeError,
    ),
}
