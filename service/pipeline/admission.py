"""Admission control: limits on requests, before decoding; on pixels, once the header is known; and deadlines."""

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
    """Permits for requests and for pixels. Use it on the event loop only.

    Decoding is where memory is at risk, so the permit for a request comes before it. A picture larger than the limit on
    pixels would be admitted when nothing else is in flight; `limits.refuse_memory` comes before. No owner may hold more
    than a share of either kind of permit, so that one owner's flood leaves room for the others.
    """

    def __init__(
        self,
        most_requests: int,
        most_pixels: int,
        seconds_queued: Callable[[], float],
        in_flight_gauge: Gauge,
        share: float = 1.0,
    ) -> None:
        """seconds_queued: predicts how long the devices are busy; Retry-After is computed from it."""
        self.most_requests, self.most_pixels = most_requests, most_pixels
        self._most_owned = {"requests": max(1, int(share * most_requests)), "pixels": max(1, int(share * most_pixels))}
        self._owned: dict[Unit, Counter[str]] = {"requests": Counter(), "pixels": Counter()}
        self.requests_in_flight = self.pixels_in_flight = 0
        self.is_open = self.was_opened = False
        self._released = asyncio.Event()
        self._seconds_queued, self._gauge = seconds_queued, in_flight_gauge

    def open(self) -> None:
        """Admit requests."""
        self.is_open = self.was_opened = True

    def close(self) -> None:
        """Admit no more requests."""
        self.is_open = False

    @contextmanager
    def request(self, owner: str = "", may_wait: bool = False) -> Iterator[None]:
        """Hold a permit for a request.

        Raises OverloadedError at the limit, QuotaError at the owner's limit, and UnavailableError while closed. A
        request that may wait has waited in `wait_for_request`, and is not rejected.
        """
        if not may_wait:
            self.refuse_if_full(owner)
        self._set(self.requests_in_flight + 1)
        try:
            with self._held("requests", owner, 1):
                yield
        finally:
            self._set(self.requests_in_flight - 1)
            self._notify()

    @contextmanager
    def pixels(self, pixels: int, owner: str = "") -> Iterator[None]:
        """Hold a permit for input and output pixels together. Raises OverloadedError, QuotaError."""
        if self._pixels_full(pixels):
            in_flight, most = self.pixels_in_flight, self.most_pixels
            raise self._overloaded(f"pictures of {in_flight} pixels are in flight, the limit is {most}")
        self._refuse_share("pixels", owner, pixels)
        self.pixels_in_flight += pixels
        try:
            with self._held("pixels", owner, pixels):
                yield
        finally:
            self.pixels_in_flight -= pixels
            self._notify()

    async def wait_for_request(self, owner: str = "") -> None:
        """Wait until `request` would not be rejected for a limit."""
        while self._requests_full() or self._over_share("requests", owner, 1):
            await self._released.wait()

    async def wait_for_pixels(self, pixels: int, owner: str = "") -> None:
        """Wait until `pixels` would not be rejected for a limit."""
        while self._pixels_full(pixels) or self._over_share("pixels", owner, pixels):
            await self._released.wait()

    def refuse_if_full(self, owner: str = "") -> None:
        """Raise what `request` would raise."""
        self.refuse_if_closed()
        if self._requests_full():
            in_flight, most = self.requests_in_flight, self.most_requests
            raise self._overloaded(f"{in_flight} requests are in flight, the limit is {most}")
        self._refuse_share("requests", owner, 1)

    def refuse_if_closed(self) -> None:
        """Raise UnavailableError before the start and after the shutdown began."""
        if not self.is_open:
            raise UnavailableError("the service is starting or shutting down", {"Retry-After": "5"})

    def retry_after_seconds(self) -> int:
        """Predict when half of the queue is done: 1 to 60 s."""
        return min(_RETRY_LIMIT_SECONDS, max(1, math.ceil(self._seconds_queued() / 2)))

    def _requests_full(self) -> bool:
        return self.requests_in_flight >= self.most_requests

    def _pixels_full(self, pixels: int) -> bool:
        return bool(self.pixels_in_flight) and self.pixels_in_flight + pixels > self.most_pixels

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
        """Tell whether an owner holds something already and would exceed its share with `count` more."""
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

    def _notify(self) -> None:
        """Wake whatever waits for a permit."""
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
        self.requests_in_flight = requests
        self._gauge.set(requests)


def refuse_if_late(expires: float | None, predicted_seconds: float) -> None:
    """Raise DeadlineError if the result would come after `expires`, which is on the clock of time.monotonic."""
    if expires is None:
        return
    left = expires - time.monotonic()
    if predicted_seconds > left:
        raise DeadlineError(
            f"the result would take about {predicted_seconds:.1f} s, the deadline is in {max(0.0, left):.1f} s",
            parameter="deadline_ms",
            predicted_seconds=round(predicted_seconds, 3),
            expected="a later deadline, a smaller picture, or another try when less is queued",
        )
