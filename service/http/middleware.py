"""Gives every request an id, metrics, a trace and one log line. Pure ASGI, so that streams pass through unchanged."""

import asyncio
import logging
import re
import time
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.auth.caller import Caller
from service.auth.quotas import policy_headers
from service.http.headers import SAFETY_HEADERS
from service.http.problems import drain_expired, internal_error
from service.http.target import path_below_root
from service.observability.logs import facts, request_id, trace_id
from service.observability.metrics import Metrics
from service.observability.tracing import RequestSpan, Tracer, working_for

log = logging.getLogger(__name__)

_WELL_FORMED_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TRACE_PARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_QUIET = frozenset({"/livez", "/readyz", "/healthz", "/metrics"})


class RequestContext:
    """Uses the client's X-Request-ID if it is well formed, or makes one. Measures, logs and traces the request."""

    def __init__(self, app: ASGIApp, metrics: Metrics, tracer: Tracer | None = None) -> None:
        self.app, self.metrics, self.tracer = app, metrics, tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one scope."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope)
        claimed = given.get("x-request-id", "")
        identity = claimed if _WELL_FORMED_ID.fullmatch(claimed) else uuid.uuid4().hex
        scope.setdefault("state", {}).update(request_id=identity, received=time.monotonic())
        span = self.tracer.request(given) if self.tracer is not None and path_below_root(scope) not in _QUIET else None
        noted: dict[str, object] = {}
        tokens = (
            request_id.set(identity),
            trace_id.set(span.trace_id if span else _claimed_trace(given)),
            facts.set(noted),
        )
        status, started, start = 500, False, time.perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal status, started
            if message["type"] == "http.response.start":
                status, started = message["status"], True
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = identity
                for name, value in SAFETY_HEADERS.items():
                    headers.setdefault(name, value)
                caller: Caller | None = scope["state"].get("caller")
                if caller is not None:
                    headers.update(policy_headers(caller, scope["state"].get("standings", {})))
            await send(message)

        try:
            with working_for(span):
                await self.app(scope, receive, send_with_id)
        except asyncio.CancelledError:  # by the server, when the time for the shutdown has run out
            if started:
                raise
            await drain_expired(Request(scope))(scope, receive, send_with_id)
        except Exception:
            log.exception("unforeseen")
            if started:
                raise
            await internal_error(Request(scope))(scope, receive, send_with_id)
        finally:
            self._note(scope, status, time.perf_counter() - start, span, noted)
            request_id.reset(tokens[0])
            trace_id.reset(tokens[1])
            facts.reset(tokens[2])

    def _note(
        self, scope: Scope, status: int, seconds: float, span: RequestSpan | None, noted: dict[str, object]
    ) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self.metrics.http_requests.labels(route, method, str(status)).inc()
        self.metrics.http_request_duration.labels(route).observe(seconds)
        refused = scope["state"].get("refused")
        if refused:
            self.metrics.rejected.labels(refused).inc()
        level = logging.DEBUG if route in _QUIET else logging.INFO
        caller: Caller | None = scope["state"].get("caller")
        fields = {
            "route": route,
            "method": method,
            "status": status,
            "seconds": round(seconds, 4),
            "refused": refused,
            "caller": caller.name if caller is not None else None,
        }
        log.log(level, "request", extra=fields | noted)
        if span is not None:
            attributes = {"http.request.method": method, "http.route": route}
            attributes |= {"impasto.request_id": scope["state"]["request_id"]}
            attributes |= {"impasto.refused": refused} if refused else {}
            span.finish(f"{method} {route}", status, attributes)


def _claimed_trace(headers: Headers) -> str | None:
    """Return the id of the client's trace, for the log."""
    found = _TRACE_PARENT.fullmatch(headers.get("traceparent", ""))
    return found[1] if found else None
