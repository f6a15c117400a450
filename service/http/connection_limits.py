"""Limits on a connection before there is a request: uvicorn's protocol for HTTP/1.1 (h11), with limits.

    connection --one too many--> 503      head --too slow--> 408      --too large--> 431      --not HTTP--> 400

`body_timeout` limits slow bodies. If a response was sent before the whole body came, the rest of the body may take as
long as a head; then the connection is closed. A client that reads a response more slowly than a body may come is
disconnected, because the response would stay in memory.
"""

import asyncio
import json
from functools import partial
from typing import Any, Literal

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import CLOSE_HEADER
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.server import ServerState

from service.errors import HeadersTooLargeError, NotHttpError, OverloadedError, ServiceError, SlowRequestError
from service.http.headers import SAFETY_HEADERS
from service.http.lingering import LingeringTransport
from service.http.problems import PROBLEM_JSON, problem_content
from service.http.target import PEER
from service.observability.metrics import Metrics
from service.settings import Settings

_SURPLUS_SECONDS = 1.0
"""How long a connection over the limit may wait for its 503."""

Expected = Literal["head", "rest"] | None
"""What a timer waits for: the request line and headers, or the rest of a body that is no longer read."""


def protocol_of(settings: Settings, metrics: Metrics) -> Any:
    """Return what uvicorn calls for each connection."""
    return partial(LimitedProtocol, settings=settings, metrics=metrics)


class LimitedProtocol(H11Protocol):
    """One connection."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        settings: Settings,
        metrics: Metrics,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._settings, self._metrics = settings, metrics
        self._expected: Expected = None
        self._timer: asyncio.TimerHandle | None = None
        self._requests = 0
        self._counted: RequestResponseCycle | None = None
        self._surplus = False
        self._unread = 0
        self._read_timer: asyncio.TimerHandle | None = None
        self._lingering: LingeringTransport | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Begin to wait for the first head."""
        self._lingering = LingeringTransport(transport, self.loop, self._settings.head_seconds, self._is_receiving)
        wrapped: Any = self._lingering
        super().connection_made(wrapped)
        self.app_state = {**self.app_state, PEER: self.client[0] if self.client else ""}
        self._metrics.connections.inc()
        self._surplus = len(self.connections) > self._settings.max_connections
        self._expect("head", _SURPLUS_SECONDS if self._surplus else self._settings.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all timers."""
        self._expect(None)
        self.resume_writing()
        self._metrics.connections.dec()
        self._close_now()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Pass on at most the size of a head at once: h11 limits only heads that are incomplete."""
        if self._lingering is not None and self._lingering.lingering:
            return
        if self._surplus:
            most = self._settings.max_connections
            detail = f"{len(self.connections)} connections are open, the limit is {most}; try again in 1 s"
            self._refuse(OverloadedError(detail, {"Retry-After": "1"}, limit=most, retry_after_seconds=1))
            return
        rest = memoryview(data)
        while rest and not self.transport.is_closing():
            size = len(rest)
            if self.conn.their_state is h11.IDLE:
                size = max(1, self._settings.max_header_bytes + 1 - len(self.conn.trailing_data[0]))
            super().data_received(bytes(rest[:size]))
            rest = rest[size:]
        self._update()

    def pause_writing(self) -> None:
        """Begin to measure how fast the client reads: the write buffer is full."""
        super().pause_writing()
        self._unread = self.transport.get_write_buffer_size()
        self._read_timer = self.loop.call_later(self._settings.body_seconds, self._check_reading)

    def resume_writing(self) -> None:
        """Stop to measure: the client has read."""
        super().resume_writing()
        if self._read_timer is not None:
            self._read_timer.cancel()
            self._read_timer = None

    def on_response_complete(self) -> None:
        """Update the timers. The next request may be there already."""
        super().on_response_complete()
        self._update()

    def send_400_response(self, msg: str) -> None:
        """Reject what cannot be parsed with a problem, like all other errors."""
        size, most = len(self.conn.trailing_data[0]), self._settings.max_header_bytes
        if size > most:
            expected = f"at most {most} bytes"
            detail = f"the request line and headers have more than {most} bytes; expected {expected}"
            self._refuse(HeadersTooLargeError(detail, expected=expected))
        else:
            self._refuse(NotHttpError(msg.rstrip(".").lower(), expected="an HTTP/1.1 request"))

    def _should_upgrade(self) -> bool:
        return False  # uvicorn would log each attempt

    def _update(self) -> None:
        """Start or stop the timer according to the state of the request, and count the request."""
        theirs, ours = self.conn.their_state, self.conn.our_state
        if self.transport.is_closing():
            self._expect(None)
        elif theirs is h11.IDLE:
            begun = bool(self.conn.trailing_data[0]) or not self._requests
            self._expect("head" if begun else None, self._settings.head_seconds)  # else uvicorn's keep-alive counts
        elif theirs is h11.SEND_BODY and ours is h11.DONE:
            self._expect("rest", self._settings.head_seconds)
        else:
            self._expect(None)
        if self.cycle is not None and self.cycle is not self._counted:
            self._counted = self.cycle
            self._requests += 1
            if self._requests >= self._settings.max_connection_requests and CLOSE_HEADER not in self.headers:
                self.headers.append(CLOSE_HEADER)  # as if the client had sent it, so that uvicorn closes

    def _check_reading(self) -> None:
        left, seconds = self.transport.get_write_buffer_size(), self._settings.body_seconds
        if self._unread - left < seconds * self._settings.body_bytes_per_second:
            self._metrics.connections_refused.labels("slow_reader").inc()
            self.transport.abort()
            return
        self._unread = left
        self._read_timer = self.loop.call_later(seconds, self._check_reading)

    def _expect(self, expected: Expected, seconds: float = 0.0) -> None:
        if expected == self._expected:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._expected = expected
        self._timer = None if expected is None else self.loop.call_later(seconds, self._expire)

    def _expire(self) -> None:
        begun = bool(self.conn.trailing_data[0])
        if self._expected == "head" and begun:
            expected = f"the request line and headers within {self._settings.head_seconds:g} s"
            self._refuse(SlowRequestError(f"the request's head is not whole; expected {expected}", expected=expected))
        elif not self.transport.is_closing():
            self._close_now()

    def _is_receiving(self) -> bool:
        """Tell whether the client has sent a part of a request, and may still send the rest."""
        begun = self.conn.their_state is h11.IDLE and bool(self.conn.trailing_data[0])
        return self._surplus or begun or self.conn.their_state in {h11.SEND_BODY, h11.ERROR}

    def _close_now(self) -> None:
        if self._lingering is not None:
            self._lingering.close_now()

    def _refuse(self, error: ServiceError) -> None:
        self._metrics.connections_refused.labels(error.code).inc()
        problem = problem_content(error.status, error.code, detail=error.detail, request_id=None, **error.facts)
        body = json.dumps(problem)
        headers = {
            **SAFETY_HEADERS,
            **error.headers,
            "Content-Type": PROBLEM_JSON,
            "Content-Length": str(len(body)),
            "Connection": "close",
        }
        head = h11.Response(
            status_code=error.status,
            reason=problem["title"],
            headers=list(headers.items()),
        )
        try:
            for event in (head, h11.Data(data=body.encode()), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        except h11.LocalProtocolError:  # in the middle of a response, which stays incomplete
            pass
        self._expect(None)
        self.transport.close()
