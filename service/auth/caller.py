"""The caller: the holder of a key, or an anonymous client."""

from dataclasses import dataclass
from typing import Literal, get_args

Scope = Literal["transform", "styles", "admin"]
Unit = Literal["requests", "pixels"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
UNITS: tuple[Unit, ...] = get_args(Unit)
ANONYMOUS = "anonymous"
ADMIN = "admin"
RESERVED_NAMES = frozenset({ANONYMOUS, ADMIN})


@dataclass(frozen=True)
class Caller:
    """A caller. name: of its key, from the key file, never from a request. Quotas are per minute; None: no limit."""

    name: str
    scopes: frozenset[Scope]
    requests_per_minute: int | None = None
    pixels_per_minute: int | None = None

    def quota(self, unit: Unit) -> int | None:
        """Return the quota per minute, or None."""
        return self.requests_per_minute if unit == "requests" else self.pixels_per_minute
