"""Permits: how many requests may be in flight, and when a refused one should come back."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Gauge

from service.errors import OverloadedError, UnavailableError

_MEMORY = 0.2
_FIRST_GUESS_SECONDS = 0.5
_RETRY_LIMIT_SECONDS = 60


class Admission:
    """Counts the requests between decoding and the end of encoding, on the event loop alone.

    Decoding is where memory is at risk, so a permit comes before it.
    """

    def __init__(self, limit: int, in_flight_gauge: Gauge) -> None:
        self.limit = limit
        self.in_flight = 0
        self.open = False
        self._gauge = in_flight_gauge
        self._seconds_between_answers: float | None = None
        self._last_answer = 0.0

    @contextmanager
    def permit(self) -> Iterator[None]:
        """Hold a permit. Raises OverloadedError at the limit and UnavailableError before start and after stop."""
        self.refuse_if_full()
        if self.in_flight == 0:
            self._last_answer = time.monotonic()
        self._set(self.in_flight + 1)
        try:
            yield
            self._note_answer(time.monotonic())  # a refusal says nothing of the pace
        finally:
            self._set(self.in_flight - 1)

    def refuse_if_full(self) -> None:
        """Raise what `permit` would."""
        if not self.open:
            raise UnavailableError("the service is starting or shutting down", {"Retry-After": "5"})
        if self.in_flight >= self.limit:
            seconds = self.retry_after_seconds()
            raise OverloadedError(
                f"{self.in_flight} requests are in flight, the limit is {self.limit}; try again in {seconds} s",
                {"Retry-After": str(seconds)},
                limit=self.limit,
                retry_after_seconds=seconds,
            )

    def retry_after_seconds(self) -> int:
        """When half of what is in flight should be done, at the pace of the latest answers: 1 to 60 s."""
        expected = (self._seconds_between_answers or _FIRST_GUESS_SECONDS) * self.in_flight / 2
        return min(_RETRY_LIMIT_SECONDS, max(1, math.ceil(expected)))

    def _note_answer(self, now: float) -> None:
        gap, self._last_answer = now - self._last_answer, now
        before = self._seconds_between_answers
        self._seconds_between_answers = gap if before is None else before + _MEMORY * (gap - before)

    def _set(self, in_flight: int) -> None:
        self.in_flight = in_flight
        self._gauge.set(in_flight)
