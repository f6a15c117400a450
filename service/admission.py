"""Who is let in: requests are counted before decoding, pixels once the header is known, seconds when asked for."""

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import Gauge

from service.errors import DeadlineError, OverloadedError, UnavailableError

_RETRY_LIMIT_SECONDS = 60


class Admission:
    """Permits in requests and in pixels, on the event loop alone.

    Decoding is where memory is at risk, so a request's permit comes before it. A picture larger than all the pixels
    that may be in flight is let in alone.
    """

    def __init__(
        self, most_requests: int, most_pixels: int, seconds_queued: Callable[[], float], in_flight_gauge: Gauge
    ) -> None:
        """seconds_queued: what the device has to do, as predicted: from it comes when to try again."""
        self.most_requests, self.most_pixels = most_requests, most_pixels
        self.requests = self.pixels = 0
        self.open = False
        self._released = asyncio.Event()
        self._seconds_queued, self._gauge = seconds_queued, in_flight_gauge

    @contextmanager
    def request(self, patient: bool = False) -> Iterator[None]:
        """Hold a request's permit. Raises OverloadedError at the limit, UnavailableError before start, after stop.

        patient: it was accepted before and has waited for `room`: it is not refused.
        """
        if not patient:
            self.refuse_if_full()
        self._set(self.requests + 1)
        try:
            yield
        finally:
            self._set(self.requests - 1)
            self._tell()

    @contextmanager
    def picture(self, pixels: int) -> Iterator[None]:
        """Hold the permit of a picture and its answer, of so many pixels together. Raises OverloadedError."""
        if self._full(pixels):
            raise self._overloaded(f"pictures of {self.pixels} pixels are in flight, the limit is {self.most_pixels}")
        self.pixels += pixels
        try:
            yield
        finally:
            self.pixels -= pixels
            self._tell()

    async def room(self, pixels: int = 0) -> None:
        """Wait until `request`, or `picture` for so many pixels, would not be refused for fullness."""
        while self._full(pixels):
            await self._released.wait()

    def refuse_if_full(self) -> None:
        """Raise what `request` would."""
        self.refuse_if_closed()
        if self.requests >= self.most_requests:
            raise self._overloaded(f"{self.requests} requests are in flight, the limit is {self.most_requests}")

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
