"""Contention: how many tasks each owner has, and which owners may run side by side."""

from collections import Counter
from collections.abc import Iterable

from service.engine.task import Task

_COMPARABLE_LOAD = 2
"""Two owners have comparable load if neither has more than this many times the tasks of the other."""

SIDE_WORKER_PIXELS = 2_000_000
"""The largest window of a side worker, or of another owner's task that preempts: it needs up to 350 MB."""


class Contention:
    """The number of unfinished tasks of each owner. The caller must hold a lock."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, owner: str) -> None:
        """Count a new task."""
        self._counts[owner] += 1

    def remove(self, owner: str) -> None:
        """Uncount a task that is over."""
        self._counts[owner] -= 1
        if not self._counts[owner]:
            del self._counts[owner]

    def _outweighs(self, owner: str, other: str) -> bool:
        """Return whether an owner has more than a comparable load."""
        return self._counts[owner] > _COMPARABLE_LOAD * self._counts[other]

    def may_run_beside(self, owner: str, tasks: Iterable[Task]) -> bool:
        """Return whether an owner has a comparable load to each owner that a device computes for.

        Two tasks side by side each take twice the time. That costs an owner of many tasks nothing, and an owner of one
        task half of its speed.
        """
        running = {task.owner for task in tasks if task.on_device}
        return not any(self._outweighs(owner, other) or self._outweighs(other, owner) for other in running)

    def side_worker_tasks(self, ready: list[Task], tasks: Iterable[Task]) -> list[Task]:
        """Return the ready tasks that a side worker may start. It leaves the main worker at least one window."""
        if sum(len(task.waiting) for task in ready) < 2:
            return []
        allowed = {owner for owner in self._counts if self.may_run_beside(owner, tasks)}
        return [task for task in ready if task.owner in allowed and task.next_pixels <= SIDE_WORKER_PIXELS]
