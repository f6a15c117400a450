"""HEAD for every path that has GET, OPTIONS for every path, and a complete Allow header. Pure ASGI."""

from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.routing import Match, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_PROBED = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")


class HeadAndOptions:
    """Answers HEAD as GET without a body, and OPTIONS with the methods that a path allows."""

    def __init__(self, app: ASGIApp, router: Router) -> None:
        self.app, self._router = app, router

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one scope."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        allowed = self._allowed(scope) if scope["method"] in {"HEAD", "OPTIONS"} else ""
        if scope["method"] == "OPTIONS" and allowed:
            await Response(status_code=204, headers={"Allow": allowed})(scope, receive, send)
        elif scope["method"] == "HEAD" and "GET" in allowed:
            await self._head(scope, receive, send)
        else:
            await self.app(scope, receive, self._with_allow(scope, send))

    async def _head(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def without_body(message: Message) -> None:
            scope["method"] = "HEAD"  # the server reads it when it sends
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        scope["method"] = "GET"
        try:
            await self.app(scope, receive, without_body)
        finally:
            scope["method"] = "HEAD"

    def _allowed(self, scope: Scope) -> str:
        """Return the methods of a path, with commas; "" if there is no such path."""
        found = {
            method
            for method in _PROBED
            for route in self._router.routes
            if route.matches({**scope, "method": method})[0] is Match.FULL
        }
        if "GET" in found:
            found.add("HEAD")
        return ", ".join(sorted(found | {"OPTIONS"})) if found else ""

    def _with_allow(self, scope: Scope, send: Send) -> Send:
        async def send_with_allow(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 405:
                MutableHeaders(scope=message)["Allow"] = self._allowed(scope)
            await send(message)

        return send_with_allow
