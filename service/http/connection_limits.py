"""The edge of the service: what a connection may cost before there is a request. uvicorn's h11, with limits.

    connection --one too many--> 503      head --too slow--> 408      --too large--> 431      --not HTTP--> 400

Slow bodies are `body_timeout`'s. After an answer that was given before the whole body came, there is as much time for
the rest of it as for a head; then the connection is closed. Who reads an answer more slowly than a body may come is
hung up on: the answer would stay in memory.
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
from service.http.problems import PROBLEM_JSON, problem_content
from service.http.safety_headers import SAFETY_HEADERS
from service.observability.metrics import Metrics
from service.settings import Settings

_FULL_SECONDS = 1.0

Waiting = Literal["head", "rest"] | None
"""For what: a request's line and headers, or the rest of a body that nobody reads any more."""


def protocol_of(settings: Settings, metrics: Metrics) -> Any:
    """What uvicorn calls for each connection."""
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
        self._waiting: Waiting = None
        self._timer: asyncio.TimerHandle | None = None
        self._requests = 0
        self._counted: RequestResponseCycle | None = None
        self._surplus = False
        self._unread = 0
        self._reading: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin: the first head is waited for."""
        super().connection_made(transport)
        self._metrics.connections.inc()
        self._surplus = len(self.connections) > self._settings.max_connections
        self._watch("head", _FULL_SECONDS if self._surplus else self._settings.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """The end."""
        self._watch(None)
        self.resume_writing()
        self._metrics.connections.dec()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """No more at once than a head may have: h11 has a limit for a head that is not whole, but none for others."""
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
        self._look()

    def pause_writing(self) -> None:
        """The client reads more slowly than the answer comes: it is looked at now and then."""
        super().pause_writing()
        self._unread = self.transport.get_write_buffer_size()
        self._reading = self.loop.call_later(self._settings.body_seconds, self._look_at_reading)

    def resume_writing(self) -> None:
        """It has read on."""
        super().resume_writing()
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def on_response_complete(self) -> None:
        """An answer is out; perhaps the next request is there already."""
        super().on_response_complete()
        self._look()

    def send_400_response(self, msg: str) -> None:
        """What cannot be read is refused in the form of all refusals."""
        size, most = len(self.conn.trailing_data[0]), self._settings.max_header_bytes
        if size > most:
            expected = f"at most {most} bytes"
            detail = f"the request line and headers have more than {most} bytes; expected {expected}"
            self._refuse(HeadersTooLargeError(detail, expected=expected))
        else:
            self._refuse(NotHttpError(msg.rstrip(".").lower(), expected="an HTTP/1.1 request"))

    def _should_upgrade(self) -> bool:
        return False  # to nothing; uvicorn would log each try

    def _look(self) -> None:
        """See how far the request is, and set or stop the clock."""
        theirs, ours = self.conn.their_state, self.conn.our_state
        if self.transport.is_closing():
            self._watch(None)
        elif theirs is h11.IDLE:
            begun = bool(self.conn.trailing_data[0]) or not self._requests
            self._watch("head" if begun else None, self._settings.head_seconds)  # else uvicorn's keep-alive is on
        elif theirs is h11.SEND_BODY and ours is h11.DONE:
            self._watch("rest", self._settings.head_seconds)
        else:
            self._watch(None)
        if self.cycle is not None and self.cycle is not self._counted:
            self._counted = self.cycle
            self._requests += 1
            if self._requests >= self._settings.max_connection_requests and CLOSE_HEADER not in self.headers:
                self.headers.append(CLOSE_HEADER)  # as if the client had asked for it: uvicorn says so, and closes

    def _look_at_reading(self) -> None:
        left, seconds = self.transport.get_write_buffer_size(), self._settings.body_seconds
        if self._unread - left < seconds * self._settings.body_bytes_per_second:
            self._metrics.connections_refused.labels("slow_reader").inc()
            self.transport.abort()
            return
        self._unread = left
        self._reading = self.loop.call_later(seconds, self._look_at_reading)

    def _watch(self, waiting: Waiting, seconds: float = 0.0) -> None:
        if waiting == self._waiting:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._waiting = waiting
        self._timer = None if waiting is None else self.loop.call_later(seconds, self._late)

    def _late(self) -> None:
        begun = bool(self.conn.trailing_data[0])
        if self._waiting == "head" and begun:
            expected = f"the request line and headers within {self._settings.head_seconds:g} s"
            self._refuse(SlowRequestError(f"the request's head is not whole; expected {expected}", expected=expected))
        elif not self.transport.is_closing():
            self.transport.close()

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
        except h11.LocalProtocolError:  # in the middle of an answer: it stays unfinished
            pass
        self._watch(None)
        self.transport.close()
