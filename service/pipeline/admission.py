"""Who is let in: requests are counted before decoding, pixels once the header is known, seconds when asked for."""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import Gauge

from service.auth.caller import Unit
from service.errors import DeadlineError, OverloadedError, QuotaError, UnavailableError

_RETRY_LIMIT_SECONDS = 60


class Admission:
    """Permits in requests and in pixels, on the event loop alone.

    Decoding is where memory is at risk, so a request's permit comes before it. A picture larger than all the pixels
    that may be in flight is let in alone. Of several owners none may hold more than a share of either, so that a flood
    of one leaves room for the others.
    """

    def __init__(
        self,
        most_requests: int,
        most_pixels: int,
        seconds_queued: Callable[[], float],
        in_flight_gauge: Gauge,
        share: float = 1.0,
    ) -> None:
        """seconds_queued: what the device has to do, as predicted: from it comes when to try again."""
        self.most_requests, self.most_pixels = most_requests, most_pixels
        self._most_owned = {"requests": max(1, int(share * most_requests)), "pixels": max(1, int(share * most_pixels))}
        self._owned: dict[Unit, Counter[str]] = {"requests": Counter(), "pixels": Counter()}
        self.requests = self.pixels = 0
        self.open = False
        self._released = asyncio.Event()
        self._seconds_queued, self._gauge = seconds_queued, in_flight_gauge

    @contextmanager
    def request(self, patient: bool = False, owner: str = "") -> Iterator[None]:
        """Hold a request's permit. Raises OverloadedError at the limit, QuotaError at the owner's, UnavailableError
        before start, after stop.

        patient: it was accepted before and has waited for `room`: it is not refused.
        """
        if not patient:
            self.refuse_if_full(owner)
        self._set(self.requests + 1)
        try:
            with self._held("requests", owner, 1):
                yield
        finally:
            self._set(self.requests - 1)
            self._tell()

    @contextmanager
    def picture(self, pixels: int, owner: str = "") -> Iterator[None]:
        """Hold the permit of a picture and its answer, so many pixels together. Raises OverloadedError, QuotaError."""
        if self._full(pixels):
            raise self._overloaded(f"pictures of {self.pixels} pixels are in flight, the limit is {self.most_pixels}")
        self._refuse_share("pixels", owner, pixels)
        self.pixels += pixels
        try:
            with self._held("pixels", owner, pixels):
                yield
        finally:
            self.pixels -= pixels
            self._tell()

    async def room(self, pixels: int = 0, owner: str = "") -> None:
        """Wait until `request`, or `picture` for so many pixels, would not be refused for fullness."""
        while self._full(pixels) or self._over_share("pixels" if pixels else "requests", owner, pixels or 1):
            await self._released.wait()

    def refuse_if_full(self, owner: str = "") -> None:
        """Raise what `request` would."""
        self.refuse_if_closed()
        if self.requests >= self.most_requests:
            raise self._overloaded(f"{self.requests} requests are in flight, the limit is {self.most_requests}")
        self._refuse_share("requests", owner, 1)

    def refuse_if_closed(self) -> None:
        """Raise UnavailableError before the start, and after the stop."""
        if not self.open:
            raise UnavailableError("the service is starting or shutting down", {"Retry-After": "5"})

    def retry_after_seconds(self) -> int:
        """When half of what is queued should be done: 1 to 60 s."""
        return min(_RETRY_LIMIT_SECONDS, max(1, math.ceil(self._seconds_queued() / 2)))

    def _full(self, pixels: int) -> bool:
        if pixels:
            return bool(self.pixels) and self.pixels + pixels > self.most_pixels
        return self.requests >= self.most_requests

    @contextmanager
    def _held(self, unit: Unit, owner: str, count: int) -> Iterator[None]:
        owned = self._owned[unit]
        owned[owner] += count
        try:
            yield
        finally:
            owned[owner] -= count
            if not owned[owner]:
                del owned[owner]

    def _over_share(self, unit: Unit, owner: str, count: int) -> bool:
        """Whether an owner has something in flight, and with so much more would have too much."""
        has = self._owned[unit][owner]
        return bool(has) and has + count > self._most_owned[unit]

    def _refuse_share(self, unit: Unit, owner: str, count: int) -> None:
        if self._over_share(unit, owner, count):
            most, has, seconds = self._most_owned[unit], self._owned[unit][owner], self.retry_after_seconds()
            raise QuotaError(
                f"this key has {has} {unit} in flight, and may have {most}; try again in {seconds} s",
                {"Retry-After": str(seconds)},
                quota=f"{unit} in flight",
                limit=most,
                retry_after_seconds=seconds,
            )

    def _tell(self) -> None:
        self._released.set()
        self._released = asyncio.Event()

    def _overloaded(self, why: str) -> OverloadedError:
        seconds = self.retry_after_seconds()
        return OverloadedError(
            f"{why}; try again in {seconds} s",
            {"Retry-After": str(seconds)},
            limit=self.most_requests,
            retry_after_seconds=seconds,
        )

    def _set(self, requests: int) -> None:
        self.requests = requests
        self._gauge.set(requests)


def refuse_if_late(expires: float | None, predicted_seconds: float) -> None:
    """Raise DeadlineError where an answer would come after `expires` (of time.monotonic)."""
    if expires is None:
        return
    left = expires - time.monotonic()
    if predicted_seconds > left:
        raise DeadlineError(
            f"the answer would take about {predicted_seconds:.1f} s, the deadline is in {max(0.0, left):.1f} s",
            parameter="deadline_ms",
            predicted_seconds=round(predicted_seconds, 3),
            expected="a later deadline, a smaller picture, or another try when less is queued",
        )
