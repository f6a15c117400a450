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
from service.http.routes.objects import WRITTEN
from service.images.formats import MEDIA_TYPES, SOURCE_MEDIA_TYPES

_PICTURE: dict[str, Any] = {"type": "string", "format": "binary"}
_FORM = {"schema": {"type": "object", "required": [FIELD], "properties": {FIELD: _PICTURE}}}
_JSON_PICTURE = {
    "type": "string",
    "format": "base64-picture",
    "description": "base64 or base64url, alone or in a data URL. Other URLs are refused: nothing is fetched.",
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
    "description": "Entity tags of earlier results. If one is the tag of this result, the response is 304.",
    "schema": {"type": "string", "examples": ['W/"0123456789abcdef"']},
}
REQUEST: dict[str, Any] = {
    "parameters": [_IF_NONE_MATCH],
    "requestBody": {
        "required": True,
        "description": "The image itself, a form, or JSON; empty with `input`. "
        "The bytes decide the format, not the media type.",
        "content": {**dict.fromkeys(SOURCE_MEDIA_TYPES.values(), BINARY), FORM: _FORM, JSON: _JSON},
    },
}
_HEADERS = {
    "ETag": "Weak entity tag for If-None-Match. Depends on image, parameters, networks and version.",
    "Impasto-Model": "The networks that made the output, with versions and, if there are several, shares.",
    "Impasto-Exact": "false: the statistics of instance norm come from a reduced image.",
    "Impasto-Factor": "Of an enlarged image: the factor, also if `max` was requested.",
    "Impasto-Source": "Of an enlarged image: photo or clean, as `source` asks or as `auto` has decided.",
    "Impasto-Profile": "What became of the colour profile of the image: kept, srgb or ignored.",
    "Impasto-Depth": "8 if the image had more bits and the output has not.",
    "Impasto-Frames": "How many frames or pages were read, if not all: 1/12.",
    "Impasto-Gain-Map": "dropped if the image had a gain map for HDR displays, which the output has not.",
    "Cache-Status": "Whether the output comes from the cache (RFC 9211), if there is a cache.",
    "Server-Timing": "Milliseconds in each stage.",
    "Content-Disposition": "A file name.",
    "X-Request-ID": "The id from the request if it is well formed, otherwise a new one.",
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The output image.",
        "content": dict.fromkeys(MEDIA_TYPES.values(), BINARY),
        "headers": {name: {"description": what, "schema": {"type": "string"}} for name, what in _HEADERS.items()},
    },
    201: {
        "description": "With output: the output was written.",
        "content": WRITTEN,
        "headers": {"Location": {"description": "URL of the object.", "schema": {"type": "string"}}},
    },
    202: {
        "description": "With Prefer: respond-async: the request became a job.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/JobStatus"}}},
        "headers": {
            "Location": {"description": "The address of the job, for GET and DELETE.", "schema": {"type": "string"}},
            "Preference-Applied": {"description": "respond-async.", "schema": {"type": "string"}},
            "Retry-After": {"description": "Predicted seconds until the job is done.", "schema": {"type": "integer"}},
        },
    },
    304: {"description": "If-None-Match names the ETag of the result. Nothing was computed."},
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
