"""How far a request is: told by the pipeline, asked by whoever waits for its answer. On the event loop alone."""

import asyncio
import time

from service.engine.task import Task


class Progress:
    """The tiles of all passes of one request, and when its answer should be there.

    known: set once the picture's header was read and found good, or where that must wait. ends: as predicted then, on
    the clock of time.monotonic.
    """

    def __init__(self) -> None:
        self.known = asyncio.Event()
        self.ends: float | None = None
        self.encoding = False
        self.task: Task | None = None
        self._expected = self._before = 0

    def expect(self, tiles: int, seconds: float) -> None:
        """So many tiles are to be computed, and the answer should be there after so many seconds."""
        self._expected, self.ends = tiles, time.monotonic() + seconds
        self.known.set()

    def compute(self, task: Task) -> None:
        """The next pass is handed to the devices, and the one before is over."""
        if self.task is not None:
            self._before += self.task.window_count
        self.task = task

    @property
    def begun(self) -> bool:
        """Whether a device has begun, or is no longer needed."""
        return self.encoding or self._before > 0 or (self.task is not None and self.task.started is not None)

    @property
    def tiles_done(self) -> int:
        """Tiles that were computed."""
        return self._before + (max(0, self.task.window_count - self.task.unfinished_count) if self.task else 0)

    @property
    def tiles_total(self) -> int:
        """Tiles in all, as far as it can be told: more where the memory was not enough for so large ones."""
        return max(self._expected, self._before + (self.task.window_count if self.task else 0))

    @property
    def seconds_left(self) -> float | None:
        """Until the answer, as predicted; None before that is known."""
        return None if self.ends is None else max(0.0, self.ends - time.monotonic())
