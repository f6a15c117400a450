"""Progress of a run: a bar or lines, metrics.jsonl, and the times of samples and saves."""

import shutil
import signal
import sys
import time
from collections.abc import Mapping
from types import FrameType, TracebackType
from typing import Self

import torch
from torch import Tensor
from tqdm import tqdm

from trainer.errors import StoppedError
from trainer.loop.distributed import Processes
from trainer.loop.runs import Run

_LOG_EVERY = 10
_LINE_SECONDS = 10.0
"""Interval of progress lines if standard error is no terminal."""

_MOST_COLUMNS = 100
_EARLY_SAMPLES = frozenset({0, 25, 50, 100})
_SAMPLE_SECONDS = 300.0
_SAVE_SECONDS = 60.0


class Progress:
    """Counts the iterations of one recipe, from `first` to `iterations`; a context manager.

    Inside it, the first SIGINT or SIGTERM lets the current iteration finish, makes a save due, and raises StoppedError
    in the next `note`. The second one has its usual effect. `seconds` in a line of metrics is the total training time,
    including earlier sessions.
    """

    def __init__(self, run: Run, processes: Processes, name: str, first: int, iterations: int) -> None:
        self._run, self._processes, self._name, self._iterations = run, processes, name, iterations
        self._first = self._done = first
        spent = run.metrics()[-1].get("seconds", 0.0) if processes.main and first and run.metrics() else 0.0
        self._began = self._sampled = self._saved = self._said = time.monotonic()
        self._start = self._began - spent
        self._signal: int | None = None
        self._stopping = False
        terminal = sys.stderr.isatty()
        self._lines = processes.main and not terminal
        self._bar = tqdm(
            total=iterations,
            initial=first,
            desc=name,
            unit="it",
            ncols=min(_MOST_COLUMNS, shutil.get_terminal_size().columns),
            disable=not processes.main or not terminal,
        )

    def __enter__(self) -> Self:
        self._before = [signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), self._before, strict=True):
            signal.signal(number, handler)
        self._bar.close()

    def introduce(self, device: torch.device, precision: str, photographs: int, parent: str | None) -> None:
        """Print what will be trained, and on which device."""
        if self._processes.main:
            origin = f"from {parent[:19]}" if parent else "from scratch"
            resumed = f", resumed at {self._first}" if self._first else ""
            self._say(
                f"{self._name}: {self._iterations} iterations on {device} in {precision}, "
                f"{photographs} photographs, {origin}{resumed}"
            )

    def note(
        self, done: int, terms: Mapping[str, Tensor], gradient: float, beside: Mapping[str, Tensor] | None = None
    ) -> None:
        """Count an iteration. done: iterations so far. terms, gradient: loss terms and gradient norm of the last one.

        beside: values to log that are no part of the loss.

        Raises StoppedError if a signal arrived before the last save.
        """
        if self._stopping:
            assert self._signal is not None
            raise StoppedError(self._done, self._signal)
        self._stopping, self._done = self._signal is not None, done
        self._bar.update()
        if self.due(done, _LOG_EVERY):
            values = {name: round(value, 6) for name, value in self._processes.mean(terms).items()}
            loss = sum(values.values())
            self._bar.set_postfix_str(f"loss {loss:.4g}")
            self._report(done, loss)
            others = {name: round(value, 6) for name, value in self._processes.mean(beside).items()} if beside else {}
            self.log(done, **values, **others, gradient=round(gradient, 4))

    def log(self, done: int, **values: float) -> None:
        """Append a line to metrics.jsonl, from the main process."""
        if self._processes.main:
            self._run.log(done, **values, seconds=round(time.monotonic() - self._start, 1))

    def due(self, done: int, every: int) -> bool:
        """Return whether an action is due: every `every` iterations, and at the end."""
        return done % every == 0 or done == self._iterations

    def sample_due(self, done: int, every: int) -> bool:
        """Return whether a sample is due: at 0, 25, 50 and 100, every `every` iterations, and every five minutes."""
        now = time.monotonic()
        if done in _EARLY_SAMPLES or self.due(done, every) or now - self._sampled >= _SAMPLE_SECONDS:
            self._sampled = now
            return True
        return False

    def save_due(self, done: int, every: int) -> bool:
        """Return whether a save is due: every `every` iterations, every minute, and after a signal."""
        now = time.monotonic()
        if self._stopping or self.due(done, every) or now - self._saved >= _SAVE_SECONDS:
            self._saved = now
            return True
        return False

    def _stop(self, number: int, _: FrameType | None) -> None:
        self._signal = number
        for each, handler in zip((signal.SIGINT, signal.SIGTERM), self._before, strict=True):
            signal.signal(each, handler)
        if self._processes.main:
            self._say("stopping after this iteration; once more ends it at once")

    def _report(self, done: int, loss: float) -> None:
        now = time.monotonic()
        if self._lines and (now - self._said >= _LINE_SECONDS or done == self._iterations):
            self._said = now
            seconds = (now - self._began) / (done - self._first)
            left = seconds * (self._iterations - done)
            self._say(
                f"{self._name}: {done} of {self._iterations}, loss {loss:.4g}, {seconds:.2f} s/it, {left:.0f} s left"
            )

    @staticmethod
    def _say(text: str) -> None:
        tqdm.write(text, file=sys.stderr)
