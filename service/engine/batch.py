"""What a device computes at once: windows of jobs."""

from dataclasses import dataclass

from nets.tiling import Window
from service.engine.task import Job, Plan
from service.models.model import Model


@dataclass(frozen=True)
class Piece:
    """A window of a job's plan. None: the reduced pass."""

    job: Job
    plan: Plan
    window: Window | None

    @property
    def pixels(self) -> int:
        """Input pixels that are computed."""
        return self.job.pixels_of(self.window)

    @property
    def seconds(self) -> float:
        """Predicted, of the device."""
        return self.job.seconds_of(self.window)

    @property
    def wanted(self) -> bool:
        """Whether anybody waits for it, and by this plan."""
        return not self.job.over and self.job.plan is self.plan


@dataclass(frozen=True)
class Batch:
    """Pieces for one pass: of one model and one size."""

    model: Model
    pieces: list[Piece]

    @property
    def pixels(self) -> int:
        """Input pixels of the pass."""
        return sum(piece.pixels for piece in self.pieces)

    @property
    def seconds(self) -> float:
        """Predicted, of the device."""
        return sum(piece.seconds for piece in self.pieces)

    @property
    def wanted(self) -> bool:
        """Whether anybody still waits for any of it."""
        return any(piece.wanted for piece in self.pieces)
