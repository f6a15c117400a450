"""The caller: the holder of a key, or an anonymous client."""

from dataclasses import dataclass
from typing import Literal, get_args

Scope = Literal["transform", "styles", "admin"]
Unit = Literal["requests", "pixels", "style_minutes"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
UNITS: tuple[Unit, ...] = get_args(Unit)
ANONYMOUS = "anonymous"
ADMIN = "admin"
RESERVED_NAMES = frozenset({ANONYMOUS, ADMIN})


@dataclass(frozen=True)
class Caller:
    """A caller. name: of its key, from the key file, never from a request. None: no limit.

    style_minutes_per_day: training time of learned styles.
    """

    name: str
    scopes: frozenset[Scope]
    requests_per_minute: int | None = None
    pixels_per_minute: int | None = None
    style_minutes_per_day: int | None = None

    def quota(self, unit: Unit) -> int | None:
        """Return the quota of a unit in its window, or None."""
        quotas: dict[Unit, int | None] = {
            "requests": self.requests_per_minute,
            "pixels": self.pixels_per_minute,
            "style_minutes": self.style_minutes_per_day,
        }
        return quotas[unit]
