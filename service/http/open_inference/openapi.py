"""What the OpenAPI document says about /v2. The protocol has a specification of its own."""

from typing import Any

_Responses = dict[int | str, dict[str, Any]]

_ERROR = {
    "application/json": {
        "schema": {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}},
        "example": {"error": "model 'stylize.mosiac' is not served; served: stylize.mosaic, upscale.x4"},
    }
}


def _errors(*statuses: int) -> _Responses:
    return {
        status: {"description": "The error, in the form of the protocol.", "content": _ERROR} for status in statuses
    }


def _json(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


_OBJECT: dict[str, Any] = {"type": "object"}
_ANY_STATE = _json("The state.", _OBJECT)
_TENSOR: dict[str, Any] = {
    "type": "object",
    "required": ["name", "shape", "datatype"],
    "properties": {
        "name": {"type": "string", "enum": ["image", "pixels"]},
        "shape": {"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 4},
        "datatype": {"type": "string", "enum": ["BYTES", "UINT8", "FP32"]},
        "parameters": _OBJECT,
        "data": {"type": "array", "items": {}},
    },
}
_REQUEST: dict[str, Any] = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": {"type": "string"},
        "parameters": {"type": "object", "description": "The parameters of /stylize or /upscale."},
        "inputs": {"type": "array", "items": _TENSOR, "minItems": 1, "maxItems": 1},
        "outputs": {"type": "array", "items": _OBJECT, "maxItems": 1},
    },
}
_ANSWER: dict[str, Any] = {
    "type": "object",
    "required": ["model_name", "model_version", "outputs"],
    "properties": {"outputs": {"type": "array", "items": _TENSOR, "minItems": 1, "maxItems": 1}},
}
_BYTES = {"schema": {"type": "string", "format": "binary"}}

SERVER: _Responses = {200: _json("Name, version and extensions.", _OBJECT)}
LIVE: _Responses = {200: _ANY_STATE, 503: _ANY_STATE}
READY: _Responses = {200: _ANY_STATE, 503: _ANY_STATE, **_errors(404, 422)}
INDEXED: _Responses = {200: _json("The networks.", {"type": "array", "items": _OBJECT})}
FOUND: _Responses = {200: _json("The tensors of the model.", _OBJECT), **_errors(404, 422)}
INFER_REQUEST: dict[str, Any] = {
    "parameters": [
        {
            "name": "Inference-Header-Content-Length",
            "in": "header",
            "required": False,
            "description": "Bytes of JSON, if the bytes of the tensor follow it.",
            "schema": {"type": "string"},
        }
    ],
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": _REQUEST}, "application/octet-stream": _BYTES},
    },
}
INFERRED: _Responses = {
    200: {
        "description": "The output has the name and datatype of the input.",
        "content": {"application/json": {"schema": _ANSWER}, "application/octet-stream": _BYTES},
    },
    **_errors(401, 403, 404, 408, 413, 415, 422, 429, 500, 503, 504),
}
