"""The outcome of each of many images."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from impasto.errors import ImpastoError
from impasto.results import Painting

if TYPE_CHECKING:
    from impasto.pictures import Pixels

Given = TypeVar("Given")

CONCURRENCY = 4
"""Default number of concurrent calls."""


@dataclass(frozen=True)
class Outcome(Generic[Given]):
    """The result for one `source`: a `painting` or an `error`."""

    source: Given
    painting: "Painting | Pixels | None" = None
    error: ImpastoError | OSError | None = None

    def unwrap(self) -> "Painting | Pixels":
        """Return the painting, or raise the error."""
        if self.error is not None:
            raise self.error
        assert self.painting is not None
        return self.painting


def refuse_concurrency(concurrency: int) -> None:
    """Raise ValueError if `concurrency` is less than 1."""
    if concurrency < 1:
        raise ValueError(f"concurrency = {concurrency}; expected 1 or more")
