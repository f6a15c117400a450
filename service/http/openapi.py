"""What the OpenAPI document says about errors, with an example for each code."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from fastapi import FastAPI

from service.errors import InternalError, ServiceError
from service.http.operation_ids import name_operations
from service.http.problems import PROBLEM_JSON, problem_content

BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_PROBLEM = {"$ref": "#/components/schemas/Problem"}
_REQUEST_ID = "9f4a27be713a45cc"
_SCHEMA: dict[str, Any] = {
    "title": "Problem",
    "description": "An error (RFC 9457). Some problems have further members.",
    "type": "object",
    "required": ["type", "title", "status", "code", "detail", "request_id"],
    "properties": {
        "type": {"type": "string", "description": "urn:impasto:problem: and the code."},
        "title": {"type": "string", "description": "The status in words."},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "code": {"type": "string", "description": "What went wrong, for programs."},
        "detail": {"type": "string", "description": "What went wrong, for people."},
        "request_id": {"type": ["string", "null"], "description": "As in X-Request-ID and in the log."},
        "parameter": {"type": "string", "description": "The query parameter, header or field that is wrong."},
        "value": {"description": "The value that was found."},
        "expected": {"description": "What was expected: words, or a list of values."},
    },
}
_STYLE_EXAMPLES = {
    "one": {"summary": "One style.", "value": "mosaic"},
    "two": {"summary": "Between two.", "value": "mosaic:0.7,wave:0.3"},
}
NOT_FOUND: dict[int | str, dict[str, Any]] = {
    404: {"description": "No such path.", "content": {PROBLEM_JSON: {"schema": _PROBLEM}}}
}
OTHERWISE: dict[int | str, dict[str, Any]] = {
    "default": {"description": "Another problem.", "content": {PROBLEM_JSON: {"schema": _PROBLEM}}}
}
_RETRY_AFTER = {"Retry-After": {"description": "Seconds after which to retry.", "schema": {"type": "integer"}}}


def problems(*kinds: type[ServiceError]) -> dict[int | str, dict[str, Any]]:
    """Describe the responses of an operation that raises these errors, by status, and the internal error."""
    found: dict[int | str, dict[str, Any]] = {}
    every: tuple[type[ServiceError], ...] = (*kinds, InternalError)
    for kind in every:
        _add(found, kind.status, kind.code, (kind.__doc__ or "").strip(), kind.example)
    for status in (429, 503):
        if status in found:
            found[status]["headers"] = _RETRY_AFTER
    return found


def complete_document(app: FastAPI) -> None:
    """Add what FastAPI does not know to the document, and remove the schemas of its own errors."""
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
                    operation["security"].append({})  # the service may ask for no key
                for parameter in operation.get("parameters", []):
                    if parameter["name"] == "style":
                        parameter["examples"] = _STYLE_EXAMPLES
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # as FastAPI documents it


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in document.get("paths", {}).values():
        yield from path.values()


def _add(
    found: dict[int | str, dict[str, Any]], status: int, code: str, summary: str, facts: Mapping[str, Any]
) -> None:
    content = {PROBLEM_JSON: {"schema": _PROBLEM, "examples": {}}}
    response = found.setdefault(status, {"description": "", "content": content})
    response["description"] = f"{response['description']} {summary}".strip()
    example = problem_content(status, code, request_id=_REQUEST_ID, **facts)
    response["content"][PROBLEM_JSON]["examples"][code] = {"summary": summary, "value": example}
