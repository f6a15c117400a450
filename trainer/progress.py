"""What is seen of a run while it goes on: the bar on the terminal, and the lines of metrics.jsonl."""

from collections.abc import Mapping
from types import TracebackType
from typing import Self

from torch import Tensor
from tqdm import tqdm

from trainer.runs import Run

_LOG_EVERY = 10


class Progress:
    """Counts the iterations of one recipe, from `first` to `iterations`; a context manager, so that the bar ends."""

    def __init__(self, run: Run, name: str, first: int, iterations: int) -> None:
        self._run, self._iterations = run, iterations
        self._bar = tqdm(total=iterations, initial=first, desc=name, unit="it", dynamic_ncols=True)

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
            values = {name: round(term.item(), 6) for name, term in terms.items()}
            self._bar.set_postfix(values)
            self._run.log(done, **values, gradient=round(gradient, 4))

    def due(self, done: int, every: int) -> bool:
        """Whether what happens every so many iterations happens now; at the end it always does."""
        return done % every == 0 or done == self._iterations
