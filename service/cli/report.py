"""The report of a run: progress, a line of JSON for each image, and a list at the end."""

import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from service.cli.backends import Output
from service.cli.files import STANDARD
from service.cli.output_paths import WorkItem
from service.cli.records import DONE

_LINE_SECONDS = 5.0
"""Interval of progress lines if standard error is no terminal."""


@dataclass
class Report:
    """Counts outcomes; a context manager, which ends the bar. quiet: only failures are printed."""

    total: int
    as_json: bool
    quiet: bool = False
    done: int = 0
    skipped: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        console = Console(stderr=True)
        told = self.total > 1 and not self.quiet
        shown = told and console.is_terminal
        self._lines = told and not console.is_terminal
        self._began = self._said = time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not shown,
        )
        self._task = self._bar.add_task("", total=self.total)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def note_done(self, item: WorkItem, target: Path | None, output: Output, seconds: float) -> None:
        """Count an image whose output was written."""
        self.done += 1
        self._line(
            item,
            "done",
            target=STANDARD if target is None else str(target),
            format=output.format,
            bytes=len(output.body),
            model=output.model,
            exact=output.exact,
            seconds=round(seconds, 3),
            milliseconds={stage: round(value, 1) for stage, value in output.milliseconds.items()},
        )

    def note_skipped(self, item: WorkItem, target: Path, reason: str) -> None:
        """Count an image whose output exists."""
        self.skipped += 1
        self.reasons[reason] += 1
        self._line(item, "skipped", target=str(target), reason=reason)

    def note_failed(self, item: WorkItem, code: str, detail: str) -> None:
        """Count an image without an output, and keep the reason."""
        self.failures.append((item.source.name, detail))
        self._line(item, "failed", code=code, detail=detail)

    def summary(self, ending: str | None = None) -> None:
        """Print the counts, the reasons of skips, and each failure. ending: why the run ended early."""
        left = self.total - self.done - self.skipped - len(self.failures)
        if ending is not None:
            typer.echo(f"impasto: {ending}", err=True)
        counts = {"done": self.done, "skipped": self.skipped, "failed": len(self.failures), "not tried": left}
        if self.total > 1 and not self.quiet:
            typer.echo(", ".join(f"{count} {what}" for what, count in counts.items() if count), err=True)
        if not self.quiet:
            for reason, count in self.reasons.items():
                hint = (
                    ""
                    if reason == DONE
                    else ": --overwrite makes it anew"
                    if count == 1
                    else ": --overwrite makes them anew"
                )
                typer.echo(f"{count} skipped: {reason}{hint}", err=True)
        for name, detail in self.failures:
            typer.echo(f"{name}: {detail}", err=True)

    def _line(self, item: WorkItem, status: str, **facts: object) -> None:
        if self.as_json:
            sys.stdout.write(json.dumps({"source": item.source.name, "status": status, **facts}) + "\n")
            sys.stdout.flush()
        self._bar.update(self._task, advance=1, description=f"{len(self.failures)} failed" if self.failures else "")
        now, ended = time.monotonic(), self.done + self.skipped + len(self.failures)
        if self._lines and status != "skipped" and now - self._said >= _LINE_SECONDS and ended < self.total:
            self._said = now
            left = (now - self._began) / (self.done + len(self.failures)) * (self.total - ended)
            failed = f", {len(self.failures)} failed" if self.failures else ""
            typer.echo(f"{ended} of {self.total}{failed}, about {left:.0f} s left", err=True)
