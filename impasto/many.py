"""Many pictures at once: what became of each, as it comes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from impasto.answers import Painting
from impasto.errors import ImpastoError

if TYPE_CHECKING:
    from PIL.Image import Image

Given = TypeVar("Given")

CONCURRENCY = 4
"""Calls at once, unless the caller says otherwise."""


@dataclass(frozen=True)
class Outcome(Generic[Given]):
    """What became of one `source`: a `painting`, or the `error` why not."""

    source: Given
    painting: "Painting | Image | None" = None
    error: ImpastoError | OSError | None = None

    def unwrap(self) -> "Painting | Image":
        """The painting. Raises the error."""
        if self.error is not None:
            raise self.error
        assert self.painting is not None
        return self.painting


def refuse_concurrency(concurrency: int) -> None:
    """Raise ValueError for less than one call at once."""
    if concurrency < 1:
        raise ValueError(f"concurrency = {concurrency}; expected 1 or more")
