"""Pages of other origins may ask, where the settings say so; by default none may."""

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

_MAX_AGE_SECONDS = 600
_METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "POST")
_REQUEST_HEADERS = (
    "Accept",
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-None-Match",
    "Prefer",
    "Request-Timeout",
    "X-API-Key",
    "X-Request-ID",
)
_ANSWER_HEADERS = (
    "Cache-Status",
    "Content-Disposition",
    "ETag",
    "Impasto-Depth",
    "Impasto-Exact",
    "Impasto-Frames",
    "Impasto-Gain-Map",
    "Impasto-Model",
    "Impasto-Profile",
    "Location",
    "Preference-Applied",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "Server-Timing",
    "X-Request-ID",
)


def add_cors(app: FastAPI, origins: str) -> None:
    """Let pages of `origins` ask: with commas between them, or "*"; "" changes nothing."""
    if origins:
        app.add_middleware(
            _Cors,
            allow_origins=origins.split(","),
            allow_methods=_METHODS,
            allow_headers=_REQUEST_HEADERS,
            expose_headers=_ANSWER_HEADERS,
            max_age=_MAX_AGE_SECONDS,
        )


class _Cors(CORSMiddleware):
    """A page that may not ask is told so by headers that are missing; the words are for nobody to read."""

    def preflight_response(self, request_headers: Headers) -> Response:
        answer = super().preflight_response(request_headers)
        kept = {name: value for name, value in answer.headers.items() if not name.startswith("content-")}
        if answer.status_code != 200:
            kept = {"vary": "Origin"}
        return Response(status_code=204, headers=kept)
