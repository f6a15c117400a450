"""A body that comes too slowly is not waited for (slow-loris). Pure ASGI."""

import asyncio
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import SlowRequestError


class BodyPace:
    """A body may take so many seconds, and one more for every so many bytes that have come; then 408.

    Only while somebody reads it: what the application does before and afterwards is not the client's slowness.
    """

    def __init__(self, app: ASGIApp, seconds: float, bytes_per_second: int) -> None:
        self.app, self._seconds, self._rate = app, seconds, bytes_per_second

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection's scope."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        count, whole, began = 0, False, 0.0

        async def paced() -> Message:
            nonlocal count, whole, began
            if whole:  # who reads on waits for the client to hang up
                return await receive()
            began = began or time.monotonic()
            try:
                async with asyncio.timeout(began + self._seconds + count / self._rate - time.monotonic()):
                    message = await receive()
            except TimeoutError as error:
                raise self._slow(count, time.monotonic() - began) from error
            count += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            return message

        await self.app(scope, paced, send)

    def _slow(self, count: int, seconds: float) -> SlowRequestError:
        expected = f"the whole body within {self._seconds:g} s, and 1 s for every {self._rate} bytes"
        return SlowRequestError(
            f"{count} bytes of the body have come in {seconds:.1f} s; expected {expected}",
            {"Connection": "close"},
            expected=expected,
        )
