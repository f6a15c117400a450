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
    "description": "base64, alone or in a data URL. Other URLs are refused: nothing is fetched.",
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
    "description": "Entity tags of answers that the client has: where one is this answer's, 304.",
    "schema": {"type": "string", "examples": ['W/"0123456789abcdef"']},
}
REQUEST: dict[str, Any] = {
    "parameters": [_IF_NONE_MATCH],
    "requestBody": {
        "required": True,
        "description": "The picture itself (its bytes decide, not this type), a form, or JSON.",
        "content": {**dict.fromkeys(SOURCE_MEDIA_TYPES.values(), BINARY), FORM: _FORM, JSON: _JSON},
    },
}
_HEADERS = {
    "ETag": "Changes with the picture, the parameters, the networks and the version; for If-None-Match.",
    "Impasto-Model": "The networks that made it, with versions and, where there are several, shares.",
    "Impasto-Exact": "false: instance norm's statistics come from a reduced picture.",
    "Impasto-Profile": "What was done with the picture's colour profile: kept, srgb, ignored.",
    "Impasto-Depth": "8 where the picture had more bits and the answer has not.",
    "Impasto-Frames": "How many of the frames or pages were read, where not all: 1/12.",
    "Impasto-Gain-Map": "dropped: the image had a gain map for HDR displays, and the output has none.",
    "Cache-Status": "Whether the answer was kept from before (RFC 9211), where answers are kept.",
    "Server-Timing": "Milliseconds in each stage.",
    "Content-Disposition": "A file name.",
    "X-Request-ID": "The client's own where it is well formed, else a new one.",
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
            "Location": {"description": "The job: GET and DELETE.", "schema": {"type": "string"}},
            "Preference-Applied": {"description": "respond-async.", "schema": {"type": "string"}},
            "Retry-After": {"description": "Seconds after which it should be done.", "schema": {"type": "integer"}},
        },
    },
    304: {"description": "The client has it already: If-None-Match names its ETag. Nothing was computed."},
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
