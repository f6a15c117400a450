"""Which failed calls are retried, and after how long."""

import ipaddress
import random
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

_WORTH_ANOTHER_TRY = frozenset({429, 502, 503})
_BROKEN_CONNECTION = (httpx.NetworkError, httpx.RemoteProtocolError, httpx.ConnectTimeout, httpx.PoolTimeout)
"""Read timeouts are missing on purpose: a retry would add load to a service that is already slow."""

_MOST_DOUBLINGS = 16


@dataclass(frozen=True)
class Retries:
    """The retry policy. Requests change nothing in the service, so a retry is safe.

    attempts: maximum, including the first. first_seconds: wait before the second attempt; doubles each time, up to
    most_seconds. jitter: largest share by which a wait is lengthened at random, which spreads clients in time.
    patience_seconds: a longer Retry-After is a final error.
    """

    attempts: int = 6
    first_seconds: float = 0.5
    most_seconds: float = 16.0
    jitter: float = 0.25
    patience_seconds: float = 60.0

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError(f"attempts = {self.attempts}; expected 1 (no retries) or more")

    def wait_seconds(self, attempt: int, failure: httpx.Response | httpx.RequestError) -> float | None:
        """Return the seconds to wait after this failed attempt, at least Retry-After; None if the failure is final."""
        if attempt >= self.attempts:
            return None
        if isinstance(failure, httpx.Response):
            if failure.status_code not in _WORTH_ANOTHER_TRY:
                return None
            asked = retry_after_seconds(failure)
        elif isinstance(failure, _BROKEN_CONNECTION) and not is_refused_here(failure):
            asked = None
        else:
            return None
        if asked is not None and asked > self.patience_seconds:
            return None
        doubled = self.first_seconds * 2 ** min(attempt - 1, _MOST_DOUBLINGS)
        seconds = min(self.most_seconds, doubled) if asked is None else asked
        return seconds * (1 + random.uniform(0, self.jitter))  # noqa: S311  # not a secret


def is_refused_here(failure: httpx.RequestError) -> bool:
    """Return whether nothing listens at an address of this machine. Waiting would not help there."""
    if not isinstance(failure, httpx.ConnectError) or failure._request is None:  # noqa: SLF001  # `request` raises
        return False
    host = failure.request.url.host
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def retry_after_seconds(response: httpx.Response) -> float | None:
    """Return the header Retry-After in seconds; None if it is missing or unreadable."""
    text = response.headers.get("retry-after", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - datetime.now(UTC)).total_seconds())
