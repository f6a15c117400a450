"""The progress of a bulk run: a line of counts and throughput, a line of JSON for each image, and a summary."""

import json
import sys
import time
from collections.abc import Iterable
from typing import Self

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from service.cli.bulk.manifest import Record

_LINE_SECONDS = 5.0
"""Interval of progress lines if standard error is no terminal."""

_FAILURES_SHOWN = 20


class BulkProgress:
    """Counts outcomes. A context manager, which ends the bar. total: None until the source has been counted."""

    def __init__(self, as_json: bool, quiet: bool) -> None:
        self._as_json, self._quiet, self._stdout = as_json, quiet, sys.stdout
        self.done = self.failed = self.skipped = 0
        self.total: int | None = None
        self._pixels = 0
        self._failures: list[Record] = []
        console = Console(stderr=True)
        shown = console.is_terminal and not quiet
        self._lines = not quiet and not shown
        columns = BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
        self._bar = Progress(*columns, console=console, transient=True, disable=not shown)
        self._task = self._bar.add_task("", total=None)
        self._said = time.monotonic()
        self._first: tuple[float, int, int] | None = None
        """Time, images and pixels when the first batch had ended: what comes before is the start of the workers."""

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    @property
    def tried(self) -> int:
        """The images of this run that have an outcome."""
        return self.done + self.failed

    def note(self, records: Iterable[Record]) -> None:
        """Count outcomes."""
        for record in records:
            failed = bool(record.code)
            self.failed, self.done = self.failed + failed, self.done + (not failed)
            self._pixels += record.pixels
            if failed and len(self._failures) < _FAILURES_SHOWN:
                self._failures.append(record)
            if self._as_json:
                self._print(record)
        if self._first is None:
            self._first = time.monotonic(), self.tried, self._pixels
        self._bar.update(self._task, total=self.total, completed=self.tried, description=self._counts())
        if self._lines and time.monotonic() - self._said >= _LINE_SECONDS:
            self._said = time.monotonic()
            typer.echo(self._counts(), err=True)

    def summary(self, dest: str, ending: str | None) -> None:
        """Print the counts and the first failures. ending: why the run ended early."""
        if ending is not None:
            typer.echo(f"impasto: {ending}", err=True)
        if not self._quiet:
            skipped = f", {self.skipped} done already" if self.skipped else ""
            typer.echo(self._counts() + skipped, err=True)
        for record in self._failures:
            typer.echo(f"{record.name}: {record.detail}", err=True)
        if self.failed > len(self._failures):
            typer.echo(f"and {self.failed - len(self._failures)} more: see the manifest in {dest}", err=True)

    def _counts(self) -> str:
        """Return "1200 of 5000 done, 2 failed, 3.1 images/s, 4.5 megapixels/s, about 20 min left"."""
        of = "" if self.total is None or self.tried == self.total else f" of {self.total}"
        parts = [f"{self.done}{of} done", *([f"{self.failed} failed"] if self.failed else [])]
        began, before, pixels = self._first or (0.0, 0, 0)
        if count := self.tried - before:
            seconds = time.monotonic() - began
            parts.append(f"{count / seconds:.2f} images/s, {(self._pixels - pixels) / 1e6 / seconds:.2f} megapixels/s")
            if self.total and self.tried < self.total:
                parts.append(f"about {_duration((self.total - self.tried) * seconds / count)} left")
        return ", ".join(parts)

    def _print(self, record: Record) -> None:
        status = "failed" if record.code else "done"
        facts = {"code": record.code, "detail": record.detail} if record.code else {
            "target": record.output, "bytes": record.bytes, "pixels": record.pixels, "seconds": record.seconds,
        }  # fmt: skip
        self._stdout.write(json.dumps({"source": record.name, "status": status, **facts}) + "\n")
        self._stdout.flush()


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
