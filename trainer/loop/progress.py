"""What is seen of a run while it goes on: the bar on the terminal, and the lines of metrics.jsonl."""

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from torch import Tensor
from tqdm import tqdm

from trainer.loop.distributed import Processes
from trainer.loop.runs import Run

_LOG_EVERY = 10


class Progress:
    """Counts the iterations of one recipe, from `first` to `iterations`; a context manager, so that the bar ends.

    `seconds` in a line is the time spent training so far, in all sittings.
    """

    def __init__(self, run: Run, processes: Processes, name: str, first: int, iterations: int) -> None:
        self._run, self._processes, self._iterations = run, processes, iterations
        spent = run.metrics()[-1].get("seconds", 0.0) if processes.main and first and run.metrics() else 0.0
        self._start = time.monotonic() - spent
        self._bar = tqdm(
            total=iterations, initial=first, desc=name, unit="it", dynamic_ncols=True, disable=not processes.main
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def note(self, done: int, terms: Mapping[str, Tensor], gradient: float) -> None:
        """`done` iterations are done; the last had these loss terms and this gradient norm."""
        self._bar.update()
        if self.due(done, _LOG_EVERY):
            values = {name: round(value, 6) for name, value in self._processes.mean(terms).items()}
            self._bar.set_postfix(values)
            self.log(done, **values, gradient=round(gradient, 4))

    def log(self, done: int, **values: float) -> None:
        """Append a line to metrics.jsonl, from the main process."""
        if self._processes.main:
            self._run.log(done, **values, seconds=round(time.monotonic() - self._start, 1))

    def due(self, done: int, every: int) -> bool:
        """Whether what happens every so many iterations happens now; at the end it always does."""
        return done % every == 0 or done == self._iterations
