"""The result cache: encoded results in memory, within a budget of bytes. The least recently used leave first."""

from typing import Protocol, TypeVar

from cachetools import LRUCache

from service.observability.metrics import Metrics


class HasBody(Protocol):
    """Anything with an encoded body."""

    @property
    def body(self) -> bytes:
        """The bytes that count towards the budget."""


Value = TypeVar("Value", bound=HasBody)

OVERHEAD_BYTES = 1024
"""What an entry counts for besides its body."""


class ResultCache(LRUCache[str, Value]):
    """Results by entity tag, counted in metrics. A budget of 0 keeps nothing. Use it on the event loop only."""

    def __init__(self, most_bytes: int, metrics: Metrics) -> None:
        super().__init__(most_bytes, getsizeof=lambda value: len(value.body) + OVERHEAD_BYTES)
        self._metrics = metrics

    def find(self, etag: str) -> Value | None:
        """Return the result with that tag, or None. Counts a hit or a miss, unless the cache keeps nothing."""
        if not self.maxsize:
            return None
        found = self.get(etag)
        self._metrics.cache_requests.labels("miss" if found is None else "hit").inc()
        return found

    def keep(self, etag: str, value: Value) -> None:
        """Keep a result, unless it is larger than the whole budget."""
        if len(value.body) + OVERHEAD_BYTES <= self.maxsize:
            self[etag] = value
            self._metrics.cache_bytes.set(self.currsize)
