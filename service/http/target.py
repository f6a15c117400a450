"""The request target: its absolute form, and the prefix of a reverse proxy. Pure ASGI.

A request target in absolute form (RFC 9112, 3.2.2) becomes its path; its authority replaces the Host header.

A proxy may publish the service below a prefix, such as /impasto, and remove the prefix before it forwards a request.
Links in responses need the prefix. It comes from the setting `root_path`, or from the header X-Forwarded-Prefix of a
trusted proxy. Paths are routed with and without the prefix.
"""

import ipaddress
import re
from collections.abc import Sequence
from urllib.parse import unquote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PEER = "peer"
"""The key of the scope's state under which the server puts the address of the direct peer, which may be a proxy."""

_PREFIX = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+){1,8}")
_ABSOLUTE = re.compile(r"https?://", re.IGNORECASE)


class RequestTarget:
    """Sets `path`, `raw_path` and `root_path` of the scope, and makes redirects relative."""

    def __init__(self, app: ASGIApp, root_path: str, trusted_proxies: str) -> None:
        self.app, self._root_path, self._trusted = app, root_path, _networks(trusted_proxies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one scope."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        _make_relative(scope)
        root_path = self._forwarded_prefix(scope) or self._root_path
        if root_path:
            scope["root_path"] = root_path
            if not (scope["path"] == root_path or scope["path"].startswith(f"{root_path}/")):
                scope["path"] = root_path + scope["path"]

        async def send_relative(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 307:
                headers = MutableHeaders(scope=message)
                to = urlsplit(headers.get("location", ""))
                headers["location"] = f"{to.path}?{to.query}" if to.query else to.path
            await send(message)

        await self.app(scope, receive, send_relative)

    def _forwarded_prefix(self, scope: Scope) -> str:
        prefix = Headers(scope=scope).get("x-forwarded-prefix", "").rstrip("/")
        return prefix if prefix and _PREFIX.fullmatch(prefix) and self._is_trusted(scope) else ""

    def _is_trusted(self, scope: Scope) -> bool:
        if self._trusted is None:
            return True
        peer = scope.get("state", {}).get(PEER) or (scope.get("client") or ("",))[0]
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:  # a Unix socket has no address
            return False
        return any(address in network for network in self._trusted)


def path_below_root(scope: Scope) -> str:
    """Return the path of a request without the prefix of a proxy."""
    path: str = scope["path"]
    root_path = scope.get("root_path", "")
    return path.removeprefix(root_path) if path == root_path or path.startswith(f"{root_path}/") else path


def _make_relative(scope: Scope) -> None:
    """Replace a target in absolute form by its path, and the Host header by its authority."""
    target = scope.get("raw_path", b"").decode("latin-1")
    if not _ABSOLUTE.match(target):
        return
    authority, slash, path = target.partition("://")[2].partition("/")
    scope["path"] = unquote(slash + path) or "/"
    scope["raw_path"] = (slash + path).encode("latin-1") or b"/"
    scope["headers"] = [
        *((name, value) for name, value in scope["headers"] if name != b"host"),
        (b"host", authority.rpartition("@")[2].encode("latin-1")),
    ]


def _networks(trusted: str) -> Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network] | None:
    """Parse addresses and networks with commas between them; None: every peer is trusted."""
    if trusted == "*":
        return None
    return [ipaddress.ip_network(each.strip(), strict=False) for each in trusted.split(",") if each.strip()]
