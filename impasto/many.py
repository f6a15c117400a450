"""The outcome of each picture, where many are processed at once."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from impasto.errors import ImpastoError
from impasto.responses import Painting

if TYPE_CHECKING:
    from PIL.Image import Image

Given = TypeVar("Given")

CONCURRENCY = 4
"""Calls at once, by default."""


@dataclass(frozen=True)
class Outcome(Generic[Given]):
    """The outcome for one `source`: a `painting`, or an `error`."""

    source: Given
    painting: "Painting | Image | None" = None
    error: ImpastoError | OSError | None = None

    def unwrap(self) -> "Painting | Image":
        """Return the painting. Raises the error where there is none."""
        if self.error is not None:
            raise self.error
        assert self.painting is not None
        return self.painting


def refuse_concurrency(concurrency: int) -> None:
    """Raise ValueError for less than one call at once."""
    if concurrency < 1:
        raise ValueError(f"concurrency = {concurrency}; expected 1 or more")
