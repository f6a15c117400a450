"""Who asks: the holder of a key, or nobody in particular."""

from dataclasses import dataclass
from typing import Literal, get_args

Scope = Literal["transform", "admin"]
Unit = Literal["requests", "pixels"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
UNITS: tuple[Unit, ...] = get_args(Unit)
ANONYMOUS = "anonymous"
ADMIN = "admin"
RESERVED_NAMES = frozenset({ANONYMOUS, ADMIN})


@dataclass(frozen=True)
class Caller:
    """name: of its key, from the key file and never from a request. Quotas: of a minute; None: no limit."""

    name: str
    scopes: frozenset[Scope]
    requests_per_minute: int | None = None
    pixels_per_minute: int | None = None

    def quota(self, unit: Unit) -> int | None:
        """What it may use of a minute."""
        return self.requests_per_minute if unit == "requests" else self.pixels_per_minute
