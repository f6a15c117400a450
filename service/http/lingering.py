"""Closes a connection without losing the response: a transport that reads on for a while before it closes.

If a server closes while a client is still sending, the client receives a reset, and the reset destroys the response on
its way (RFC 9112, 9.6). So the server ends its own direction first, discards what still comes, and closes when the
client closes or the time is over.
"""

import asyncio
from collections.abc import Callable
from typing import Any


class LingeringTransport:
    """Wraps the transport of a connection. All but `close` and `is_closing` is passed on."""

    def __init__(
        self,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        seconds: float,
        is_receiving: Callable[[], bool],
    ) -> None:
        """is_receiving: tells whether the client may still be sending a request."""
        self._transport, self._loop, self._seconds, self._is_receiving = transport, loop, seconds, is_receiving
        self._timer: asyncio.TimerHandle | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    @property
    def lingering(self) -> bool:
        """Whether what comes is to be discarded."""
        return self._timer is not None

    def close(self) -> None:
        """End this direction, and close within some seconds. Close at once if nothing comes, or at the second call."""
        if self.is_closing() or not self._is_receiving() or not self._transport.can_write_eof():
            self.close_now()
            return
        self._timer = self._loop.call_later(self._seconds, self.close_now)
        self._transport.write_eof()
        self._transport.resume_reading()

    def close_now(self) -> None:
        """Close without waiting for the client. What was written is still sent."""
        if self._timer is not None:
            self._timer.cancel()
        self._transport.close()

    def is_closing(self) -> bool:
        """Tell whether no more requests are answered."""
        return self.lingering or self._transport.is_closing()
