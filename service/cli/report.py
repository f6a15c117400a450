"""What is told of a run over many pictures: a bar while it goes on, a line of JSON for each, and a list at the end."""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from service.cli.backends import Painted
from service.cli.files import STANDARD
from service.cli.output_paths import Errand


@dataclass
class Report:
    """Counts; a context manager, so that the bar ends. quiet: no bar and no summary, only what failed."""

    total: int
    as_json: bool
    quiet: bool = False
    done: int = 0
    skipped: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        console = Console(stderr=True)
        shown = self.total > 1 and not self.quiet and console.is_terminal
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

    def note_done(self, errand: Errand, target: Path | None, painted: Painted, seconds: float) -> None:
        """A picture was made and written."""
        self.done += 1
        self._line(
            errand,
            "done",
            target=STANDARD if target is None else str(target),
            format=painted.format,
            bytes=len(painted.body),
            model=painted.model,
            exact=painted.exact,
            seconds=round(seconds, 3),
            milliseconds={stage: round(value, 1) for stage, value in painted.milliseconds.items()},
        )

    def note_skipped(self, errand: Errand, target: Path) -> None:
        """An earlier run had made it."""
        self.skipped += 1
        self._line(errand, "skipped", target=str(target))

    def note_failed(self, errand: Errand, code: str, detail: str) -> None:
        """There is no picture, and why."""
        self.failures.append((errand.source.name, detail))
        self._line(errand, "failed", code=code, detail=detail)

    def summary(self, ending: str | None = None) -> None:
        """On standard error: how many, and each that failed. ending: why it ended before its end."""
        left = self.total - self.done - self.skipped - len(self.failures)
        if ending is not None:
            typer.echo(f"impasto: {ending}", err=True)
        counts = {"done": self.done, "skipped": self.skipped, "failed": len(self.failures), "not tried": left}
        if self.total > 1 and not self.quiet:
            typer.echo(", ".join(f"{count} {what}" for what, count in counts.items() if count), err=True)
        for name, detail in self.failures:
            typer.echo(f"{name}: {detail}", err=True)

    def _line(self, errand: Errand, status: str, **facts: object) -> None:
        if self.as_json:
            sys.stdout.write(json.dumps({"source": errand.source.name, "status": status, **facts}) + "\n")
            sys.stdout.flush()
        self._bar.update(self._task, advance=1, description=f"{len(self.failures)} failed" if self.failures else "")
