"""Turns exceptions into responses: problem+json (RFC 9457) for errors, and 304 for NotModified."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.errors import InternalError, ServiceError, UnavailableError, shown
from service.http.target import path_below_root
from service.pipeline.parameters import parameter_error
from service.pipeline.request import NotModified

PROBLEM_JSON = "application/problem+json"
INFERENCE_PROTOCOL = "/v2"
_TITLES = {413: "Content Too Large", 422: "Unprocessable Content", 499: "Client Closed Request"}
"""Titles that HTTPStatus lacks, or that differ between versions of Python."""


def problem(
    request: Request, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None, **facts: Any
) -> JSONResponse:
    """Build an error response. Below /v2 it has the form of the Open Inference Protocol."""
    path = path_below_root(request.scope)
    if path == INFERENCE_PROTOCOL or path.startswith(f"{INFERENCE_PROTOCOL}/"):
        return JSONResponse({"error": detail}, status, dict(headers or {}))
    request_id = request.scope.get("state", {}).get("request_id")
    content = problem_content(status, code, detail=detail, request_id=request_id, **facts)
    return JSONResponse(content, status, dict(headers or {}), PROBLEM_JSON)


def problem_content(status: int, code: str, **facts: Any) -> dict[str, Any]:
    """Build the members of a problem. `facts` has at least `detail` and `request_id`."""
    title = _TITLES.get(status) or HTTPStatus(status).phrase
    return {"type": f"urn:impasto:problem:{code}", "title": title, "status": status, "code": code, **facts}


def drain_expired(request: Request) -> JSONResponse:
    """Build the response to a request that is cancelled because the time for the shutdown has run out."""
    request.scope["state"]["refused"] = UnavailableError.code
    detail = "the service shut down before this request was finished"
    return problem(request, UnavailableError.status, UnavailableError.code, detail, {"Retry-After": "5"})


def internal_error(request: Request) -> JSONResponse:
    """Build the response to an exception that we did not foresee. The log has its traceback under the request id."""
    return problem(request, InternalError.status, InternalError.code, InternalError.example["detail"])


def install_handlers(app: FastAPI) -> None:
    """Register handlers for our exceptions and the framework's. The middleware handles all others."""

    async def service_error(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, ServiceError)
        request.scope["state"]["refused"] = error.code
        return problem(request, error.status, error.code, error.detail, error.headers, **error.facts)

    async def validation_error(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return await service_error(request, parameter_error(error.errors(), _query_parameters(request)))

    async def framework_error(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
        detail = f"{request.method} {shown(path_below_root(request.scope))}: {error.detail}"
        return problem(request, error.status_code, code, detail, error.headers)

    async def not_modified(_: Request, error: Exception) -> Response:
        assert isinstance(error, NotModified)
        return Response(status_code=304, headers={"ETag": error.etag, "Vary": "Accept"})

    app.add_exception_handler(ServiceError, service_error)
    app.add_exception_handler(RequestValidationError, validation_error)
    app.add_exception_handler(HTTPException, framework_error)
    app.add_exception_handler(NotModified, not_modified)


def _query_parameters(request: Request) -> list[str]:
    """List the query parameters of the operation, from the model that declares them."""
    models = [field.field_info.annotation for field in request.scope["route"].dependant.query_params]
    return [name for model in models for name in getattr(model, "model_fields", {})]
