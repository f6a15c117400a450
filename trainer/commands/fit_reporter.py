"""Shows how far a fit is: as a progress bar, and as a preview picture."""

from pathlib import Path
from types import TracebackType
from typing import Self

from tqdm import tqdm

from trainer.commands.preview import Preview
from trainer.recipes.style_fit import FitProgress


class FitReporter:
    """Is called after each iteration of a fit. preview: the file of the preview; None for none. quiet: show no bar."""

    def __init__(self, name: str, preview: Path | None, quiet: bool) -> None:
        self._preview = Preview(preview) if preview is not None else None
        self._bar = tqdm(total=100, unit="%", desc=name, dynamic_ncols=True, disable=quiet)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._bar.close()

    def __call__(self, progress: FitProgress) -> None:
        """Show the progress, and a new preview where one is due."""
        self._bar.update(int(100 * progress.share) - self._bar.n)
        self._bar.set_postfix(objective=f"{progress.objective:.3f}")
        if self._preview is not None:
            self._preview.update(progress.net)
