"""Quotas: requests and output pixels per minute, minutes of training per day.

They are counted here, or in Redis for several replicas.

The window slides (library `limits`): use in the window before counts less and less. So no caller gets twice its quota
by sending requests at the end of one window and at the beginning of the next.
"""

import asyncio
import logging
import math
import time
from dataclasses import dataclass
from typing import Any

from limits import RateLimitItem, RateLimitItemPerDay, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import ConfigurationError, StorageError

from service.auth.caller import UNITS, Caller, Unit
from service.errors import (
    ParameterError,
    QuotaError,
    ServiceError,
    StartupError,
    TooManyPixelsError,
    UnavailableError,
)
from service.observability.metrics import Metrics
from service.settings import PREFIX, Settings, redis_address

log = logging.getLogger(__name__)

_WINDOWS: dict[Unit, type[RateLimitItem]] = {
    "requests": RateLimitItemPerMinute,
    "pixels": RateLimitItemPerMinute,
    "style_minutes": RateLimitItemPerDay,
}
_ANSWER_SECONDS = 0.5
_PAUSE_SECONDS = 1.0
"""How long the store is not asked after it failed to respond."""


@dataclass(frozen=True)
class Standing:
    """The rest of a quota, and the seconds until it grows."""

    remaining: int
    seconds: int


class Quotas:
    """The quotas of one service. Use it on the event loop only."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        """Connect to the store. Raises StartupError for an invalid address, or if the library is not installed."""
        self._storage = _storage(redis_address(settings.quota_store, "QUOTA_STORE"))
        self._limiter = SlidingWindowCounterRateLimiter(self._storage)
        self._closed, self._metrics = settings.quota_fail == "closed", metrics
        self._down, self._ask_again = False, 0.0

    async def take(self, caller: Caller, unit: Unit, cost: int) -> Standing | None:
        """Use `cost` of a quota, and return what is left; None if there is no limit, or if the store does not respond.

        Raises QuotaError; TooManyPixelsError or ParameterError if even the whole quota is not enough;
        UnavailableError if the store does not respond and IMPASTO_QUOTA_FAIL is closed.
        """
        most = caller.quota(unit)
        if most is None or cost == 0:
            return None
        if cost > most:
            raise _more_than_all(unit, most, cost)
        item = _WINDOWS[unit](most, namespace="impasto")
        window_seconds = item.get_expiry()
        if time.monotonic() < self._ask_again:
            self._uncounted()
            return None
        try:
            async with asyncio.timeout(2 * _ANSWER_SECONDS):
                taken = await self._limiter.hit(item, unit, caller.name, cost=cost)
                window = await self._storage.get_sliding_window(item.key_for(unit, caller.name), window_seconds)
        except (StorageError, OSError, TimeoutError) as error:
            self._note_down(error)
            self._uncounted()
            return None
        self._note_up()
        standing = _standing(most, 1 if taken else cost, *window, window_seconds)
        if not taken:
            raise _exceeded(unit, most, cost, standing)
        return standing

    async def close(self) -> None:
        """Close the connections to the store."""
        if isinstance(self._storage, RedisStorage):
            client: Any = self._storage.bridge
            await client.storage.aclose()

    def _uncounted(self) -> None:
        self._metrics.quota_store_errors.inc()
        if self._closed:
            seconds = math.ceil(_PAUSE_SECONDS)
            detail = "the quota store does not respond, and callers with a quota are rejected without it"
            raise UnavailableError(detail, {"Retry-After": str(seconds)})

    def _note_down(self, error: Exception) -> None:
        self._ask_again = time.monotonic() + _PAUSE_SECONDS
        if not self._down:
            kind = type(error.__cause__ or error).__name__  # its message may hold the address and the password
            log.error("the quota store does not respond", extra={"error": kind, "closed": self._closed})
        self._down = True

    def _note_up(self) -> None:
        if self._down:
            log.warning("the quota store responds again")
        self._down = False


def policy_headers(caller: Caller, standings: dict[Unit, Standing]) -> dict[str, str]:
    """Build RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-10); empty without quotas."""
    quotas = {unit: quota for unit in UNITS if (quota := caller.quota(unit)) is not None}
    if not quotas:
        return {}
    headers = {"RateLimit-Policy": ", ".join(f'"{unit}";q={most};w={_seconds(unit)}' for unit, most in quotas.items())}
    known = [f'"{unit}";r={each.remaining};t={each.seconds}' for unit, each in standings.items()]
    return {**headers, "RateLimit": ", ".join(known)} if known else headers


def _storage(address: str | None) -> MemoryStorage | RedisStorage:
    if address is None:
        return MemoryStorage()
    from redis.asyncio.retry import Retry  # noqa: PLC0415  # an optional extra
    from redis.backoff import NoBackoff  # noqa: PLC0415

    try:
        return RedisStorage(
            f"async+{address}",
            wrap_exceptions=True,
            implementation="redispy",
            key_prefix="impasto",
            socket_timeout=_ANSWER_SECONDS,
            socket_connect_timeout=_ANSWER_SECONDS,
            retry=Retry(NoBackoff(), 1),  # type: ignore[arg-type]  # one, for a connection that the server closed
        )
    except (ConfigurationError, ValueError) as error:
        raise StartupError(f"{PREFIX}QUOTA_STORE: {type(error).__name__}: expected redis://HOST:PORT/DB") from error


def _seconds(unit: Unit) -> int:
    return _WINDOWS[unit](1).get_expiry()


def _standing(
    most: int, wanted: int, before: int, before_left: float, now: int, now_left: float, window: int = 60
) -> Standing:
    """Read the two counters of a window of so many seconds. wanted: how much must be free again in `seconds`."""
    moves_in = before_left if before else now_left % window
    used = before * before_left / window + now
    short = used + wanted - most
    if short <= 0:
        seconds = moves_in
    elif before and short <= before * before_left / window:
        seconds = short * window / before
    else:  # the counter fades after the window has moved on
        seconds = moves_in + (now + wanted - most) * window / max(now, 1)
    return Standing(max(0, most - math.floor(used)), max(1, math.ceil(seconds)))


def _exceeded(unit: Unit, most: int, cost: int, standing: Standing) -> QuotaError:
    asked = {"requests": "", "pixels": f"; this output has {cost}", "style_minutes": f"; this style takes {cost}"}
    may_use = f"{most} minutes of training a day" if unit == "style_minutes" else f"{most} {unit} a minute"
    minutes = {"parameter": "minutes", "value": cost, "expected": f"at most {standing.remaining} minutes now"}
    return QuotaError(
        f"this key may use {may_use}, {standing.remaining} are left{asked[unit]}; try again in {standing.seconds} s",
        {"Retry-After": str(standing.seconds)},
        quota=unit,
        limit=most,
        remaining=standing.remaining,
        retry_after_seconds=standing.seconds,
        **{"violated-policies": [unit]},
        **(minutes if unit == "style_minutes" else {}),
    )


def _more_than_all(unit: Unit, most: int, cost: int) -> ServiceError:
    if unit == "style_minutes":
        expected = f"at most {most} minutes, which is this key's quota of a day"
        detail = f"the style takes {cost} minutes; expected {expected}"
        return ParameterError(detail, parameter="minutes", value=cost, expected=expected)
    expected = f"at most {most} pixels, which is this key's quota of a minute"
    return TooManyPixelsError(f"the output has {cost} pixels; expected {expected}", value=cost, expected=expected)
