"""Progress of a fit: a bar or JSON lines, and a preview picture."""

import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tqdm import tqdm

from trainer.commands.options import say_json
from trainer.commands.preview import Preview
from trainer.recipes.style_fit import FitProgress

_EVENT_SECONDS = 1.0


class FitReporter:
    """Is called after each iteration of a fit that takes `seconds`.

    preview: the file of the preview; None for none. events: print JSON lines, one a second, in place of the bar.
    quiet: print nothing.
    """

    def __init__(self, name: str, seconds: float, preview: Path | None, events: bool, quiet: bool) -> None:
        self._seconds, self._events = seconds, events
        self._preview = Preview(preview) if preview is not None else None
        self._bar = tqdm(total=100, unit="%", desc=name, dynamic_ncols=True, disable=events or quiet)
        self._next_event = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._bar.close()

    def __call__(self, progress: FitProgress) -> None:
        """Show the progress, and write a preview if one is due."""
        self._bar.update(int(100 * progress.share) - self._bar.n)
        self._bar.set_postfix(objective=f"{progress.objective:.3f}")
        if self._preview is not None:
            self._preview.update(progress.net)
        if self._events and time.monotonic() >= self._next_event:
            left = round((1 - progress.share) * self._seconds, 1)
            share, objective = round(progress.share, 4), round(progress.objective, 4)
            say_json({"event": "progress", "share": share, "seconds_left": left, "objective": objective})
            self._next_event = time.monotonic() + _EVENT_SECONDS
