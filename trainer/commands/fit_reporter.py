"""Shows how far a fit is: as a progress bar or as JSON lines, and as a preview picture."""

import io
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from nets.pixels import Picture
from trainer.commands.options import say_json
from trainer.content import bundled_pictures
from trainer.data import read_rgb
from trainer.loop.runs import replace_file
from trainer.loop.samples import apply
from trainer.recipes.style_fit import FitProgress

_PREVIEW_OF = "chelsea"
_PREVIEW_PX = 384
_PREVIEW_SECONDS = 5.0
_EVENT_SECONDS = 1.0


class FitReporter:
    """Is called after each iteration of a fit that takes `seconds`.

    preview: the file of the preview, replaced every five seconds; None for none. events: print JSON lines, one a
    second, in place of the bar. quiet: print nothing.
    """

    def __init__(self, name: str, seconds: float, preview: Path | None, events: bool, quiet: bool) -> None:
        self._seconds, self._preview, self._events = seconds, preview, events
        self._bar = tqdm(total=100, unit="%", desc=name, dynamic_ncols=True, disable=events or quiet)
        self._next_event, self._next_preview = 0.0, 0.0
        self._photograph = _photograph() if preview is not None else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._bar.close()

    def __call__(self, progress: FitProgress) -> None:
        """Show the progress, and a new preview where one is due."""
        self._bar.update(int(100 * progress.share) - self._bar.n)
        self._bar.set_postfix(objective=f"{progress.objective:.3f}")
        now = time.monotonic()
        if self._preview is not None and self._photograph is not None and now >= self._next_preview:
            painted = Image.fromarray(apply(progress.net, self._photograph, torch.device("cpu")))
            jpeg = io.BytesIO()
            painted.save(jpeg, "JPEG", quality=90)
            replace_file(self._preview, jpeg.getvalue())
            self._next_preview = time.monotonic() + _PREVIEW_SECONDS
        if self._events and now >= self._next_event:
            left = round((1 - progress.share) * self._seconds, 1)
            share, objective = round(progress.share, 4), round(progress.objective, 4)
            say_json({"event": "progress", "share": share, "seconds_left": left, "objective": objective})
            self._next_event = now + _EVENT_SECONDS


def _photograph() -> Picture:
    path = next(path for path in bundled_pictures() if path.stem == _PREVIEW_OF)
    image = read_rgb(path)
    image.thumbnail((_PREVIEW_PX, _PREVIEW_PX), Image.Resampling.LANCZOS)
    return np.array(image)
