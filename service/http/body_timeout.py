"""A time limit for bodies that come too slowly (slow loris). Pure ASGI."""

import asyncio
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import SlowRequestError


class BodyTimeout:
    """Allows a body some seconds, and one more for every `bytes_per_second` bytes that have come; then 408.

    The clock runs only while the application reads the body. What it does before and afterwards does not count.
    """

    def __init__(self, app: ASGIApp, seconds: float, bytes_per_second: int) -> None:
        self.app, self._seconds, self._rate = app, seconds, bytes_per_second

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one scope."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        count, complete, began = 0, False, 0.0

        async def timed() -> Message:
            nonlocal count, complete, began
            if complete:  # the application waits for the client to disconnect
                return await receive()
            began = began or time.monotonic()
            try:
                async with asyncio.timeout(began + self._seconds + count / self._rate - time.monotonic()):
                    message = await receive()
            except TimeoutError as error:
                raise self._slow(count, time.monotonic() - began) from error
            count += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            return message

        await self.app(scope, timed, send)

    def _slow(self, count: int, seconds: float) -> SlowRequestError:
        expected = f"the whole body within {self._seconds:g} s, and 1 s for every {self._rate} bytes"
        return SlowRequestError(
            f"{count} bytes of the body have come in {seconds:.1f} s; expected {expected}",
            {"Connection": "close"},
            expected=expected,
        )
