"""The progress of one request: updated by the pipeline, and read by whatever waits for the result."""

import asyncio
import time

from service.engine.task import Task


class Progress:
    """The tiles of all passes of one request, and the predicted end. Use it on the event loop only.

    known: set once the header of the image was read and accepted, or once that has to wait. ends: the predicted end, on
    the clock of time.monotonic; None until it is known. task: the pass that is queued or computed now.
    """

    def __init__(self) -> None:
        self.known = asyncio.Event()
        self.ends: float | None = None
        self.encoding = False
        self.task: Task | None = None
        self._expected = self._before = 0

    def expect(self, tiles: int, seconds: float) -> None:
        """Set the number of tiles, and the predicted seconds until the result."""
        self._expected, self.ends = tiles, time.monotonic() + seconds
        self.known.set()

    def compute(self, task: Task) -> None:
        """Note that the next pass was queued. The pass before it is over."""
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
        """All tiles. The number grows if memory was short and the tiles had to be smaller."""
        return max(self._expected, self._before + (self.task.window_count if self.task else 0))

    @property
    def seconds_left(self) -> float | None:
        """Predicted seconds until the result; None before that is known."""
        return None if self.ends is None else max(0.0, self.ends - time.monotonic())
