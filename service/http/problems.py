"""Turns errors into responses of application/problem+json (RFC 9457)."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from service.errors import ParameterError, ServiceError, UnavailableError, shown

PROBLEM_JSON = "application/problem+json"
INFERENCE_PROTOCOL = "/v2"
_TITLES = {413: "Content Too Large", 422: "Unprocessable Content", 499: "Client Closed Request"}
"""What HTTPStatus does not know, or calls otherwise from one Python to the next."""


def problem(
    request: Request, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None, **facts: Any
) -> JSONResponse:
    """The answer that says no; under /v2 in the form of the Open Inference Protocol."""
    if request.url.path == INFERENCE_PROTOCOL or request.url.path.startswith(f"{INFERENCE_PROTOCOL}/"):
        return JSONResponse({"error": detail}, status, dict(headers or {}))
    content = problem_content(
        status, code, detail=detail, request_id=request.scope.get("state", {}).get("request_id"), **facts
    )
    return JSONResponse(content, status, dict(headers or {}), PROBLEM_JSON)


def problem_content(status: int, code: str, **facts: Any) -> dict[str, Any]:
    """The one shape of every error; `facts` has at least `detail` and `request_id`."""
    title = _TITLES.get(status) or HTTPStatus(status).phrase
    return {"type": f"urn:impasto:problem:{code}", "title": title, "status": status, "code": code, **facts}


def given_up(request: Request) -> JSONResponse:
    """The answer to whoever still waits when the service may drain no longer."""
    request.scope["state"]["refused"] = UnavailableError.code
    detail = "the service is shutting down, and had no time left for this request"
    return problem(request, UnavailableError.status, UnavailableError.code, detail, {"Retry-After": "5"})


def unforeseen(request: Request) -> JSONResponse:
    """The answer where nothing else fits; the log has the traceback under the same request id."""
    return problem(request, 500, "internal", "an error that we did not foresee; the log has it under this request_id")


def install_handlers(app: FastAPI) -> None:
    """Answer our exceptions and the framework's with problem+json; the middleware answers those not foreseen."""

    async def ours(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, ServiceError)  # what it was registered for
        request.scope["state"]["refused"] = error.code
        return problem(request, error.status, error.code, error.detail, error.headers, **error.facts)

    async def invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        name, missing = str(first["loc"][-1]), first["type"] == "missing"
        expected = "one value; GET /models lists what is served" if missing else first["msg"]
        value = None if missing else shown(first["input"])
        detail = f"{first['loc'][0]} parameter {name!r} " + ("is missing" if missing else f"is {value!r}: {expected}")
        return await ours(request, ParameterError(detail, parameter=name, value=value, expected=expected))

    async def framework(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
        detail = f"{request.method} {shown(request.url.path)}: {error.detail}"
        return problem(request, error.status_code, code, detail, error.headers)

    app.add_exception_handler(ServiceError, ours)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, framework)
