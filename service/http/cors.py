"""Cross-origin requests from web pages (CORS). By default no other origin may send them."""

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
_RESPONSE_HEADERS = (
    "Cache-Status",
    "Content-Disposition",
    "ETag",
    "Impasto-Depth",
    "Impasto-Exact",
    "Impasto-Factor",
    "Impasto-Frames",
    "Impasto-Gain-Map",
    "Impasto-Model",
    "Impasto-Profile",
    "Impasto-Source",
    "Location",
    "Preference-Applied",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "Server-Timing",
    "X-Request-ID",
)


def add_cors(app: FastAPI, origins: str) -> None:
    """Allow requests from pages of `origins`: several with commas, or "*"; "" changes nothing."""
    if origins:
        app.add_middleware(
            _Cors,
            allow_origins=origins.split(","),
            allow_methods=_METHODS,
            allow_headers=_REQUEST_HEADERS,
            expose_headers=_RESPONSE_HEADERS,
            max_age=_MAX_AGE_SECONDS,
        )


class _Cors(CORSMiddleware):
    """Starlette's CORS without a body: a browser only looks whether the headers are there."""

    def preflight_response(self, request_headers: Headers) -> Response:
        response = super().preflight_response(request_headers)
        kept = {name: value for name, value in response.headers.items() if not name.startswith("content-")}
        if response.status_code != 200:
            kept = {"vary": "Origin"}
        return Response(status_code=204, headers=kept)
