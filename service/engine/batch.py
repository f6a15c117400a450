"""A batch: the windows that a device computes in one forward pass."""

from dataclasses import dataclass

from nets.tiling import Window
from service.engine.task import Task
from service.engine.tiling_plan import TilingPlan
from service.models.model import Model


@dataclass(frozen=True)
class BatchItem:
    """A window of a task's plan. window None: the reduced pass, which yields the instance norm statistics."""

    task: Task
    plan: TilingPlan
    window: Window | None

    @property
    def pixels(self) -> int:
        """Input pixels of the window."""
        return self.task.window_pixels(self.window)

    @property
    def seconds(self) -> float:
        """Predicted time on the whole device."""
        return self.task.window_seconds(self.window)

    @property
    def needed(self) -> bool:
        """Whether the task is not over and has not been restarted with another plan."""
        return not self.task.over and self.task.plan is self.plan


@dataclass(frozen=True)
class Batch:
    """Items of one size for one forward pass. model: that of the first; the others may be styles of its trunk."""

    model: Model
    items: list[BatchItem]

    @property
    def pixels(self) -> int:
        """Input pixels of all items."""
        return sum(item.pixels for item in self.items)

    @property
    def needed(self) -> bool:
        """Whether at least one item is needed."""
        return any(item.needed for item in self.items)

    @property
    def owners(self) -> set[str]:
        """The owners of its tasks."""
        return {item.task.owner for item in self.items}
