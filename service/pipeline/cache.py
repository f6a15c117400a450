"""Answers that were given before, in memory, within a budget of bytes: the least recently used leave first."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from service.observability.metrics import Metrics

Value = TypeVar("Value")


@dataclass(frozen=True)
class _Entry(Generic[Value]):
    value: Value
    size_bytes: int


class ResultCache(Generic[Value]):
    """By entity tag, on the event loop alone. With a budget of 0 it keeps nothing."""

    OVERHEAD_BYTES = 1024
    """What an entry is counted for besides its body."""

    def __init__(self, most_bytes: int, metrics: Metrics) -> None:
        self.most_bytes, self.size_bytes = most_bytes, 0
        self._entries: dict[str, _Entry[Value]] = {}
        self._metrics = metrics

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, tag: str) -> Value | None:
        """The answer of that tag, which becomes the most recently used; counted as a hit or a miss."""
        if not self.most_bytes:
            return None
        entry = self._entries.pop(tag, None)
        self._metrics.cache_requests.labels("miss" if entry is None else "hit").inc()
        if entry is None:
            return None
        self._entries[tag] = entry
        return entry.value

    def put(self, tag: str, value: Value, body_bytes: int) -> None:
        """Keep an answer with a body of so many bytes; one that is larger than the whole budget is not kept."""
        size = body_bytes + self.OVERHEAD_BYTES
        if size > self.most_bytes:
            return
        self._drop(tag)
        while self.size_bytes + size > self.most_bytes:
            self._drop(next(iter(self._entries)))
        self._entries[tag] = _Entry(value, size)
        self.size_bytes += size
        self._metrics.cache_bytes.set(self.size_bytes)

    def _drop(self, tag: str) -> None:
        entry = self._entries.pop(tag, None)
        if entry is not None:
            self.size_bytes -= entry.size_bytes
