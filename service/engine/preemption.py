"""Preemption: which task may interrupt a pass between two of its bands."""

from service.engine.batch import Batch, BatchItem
from service.engine.contention import SIDE_WORKER_PIXELS
from service.engine.fair_queue import FairQueue
from service.engine.task import Task

_SIZE_RATIO = 4
"""A task that preempts a pass of its own owner has at most a quarter of its pixels: nested passes hold 4/3 of them."""

_ADDED_SHARE = 1 / 8
"""The share of a pass that another owner may add to it by preemption."""


class PreemptionPolicy:
    """Decides whether a task preempts a batch. The caller must hold a lock."""

    def __init__(self, fair_queue: FairQueue) -> None:
        self._fair_queue = fair_queue

    def may_preempt(self, task: Task, batch: Batch) -> bool:
        """Return whether the next window of `task` may run before the rest of `batch`.

        It must be small enough, and go before each item: among tasks of one owner by rank, among owners by start tag.
        """
        if task.next_pixels > self._max_pixels(task, batch):
            return False
        return all(self._goes_before(task, item) for item in batch.items)

    @staticmethod
    def _max_pixels(task: Task, batch: Batch) -> int:
        if task.owner in batch.owners:
            return batch.pixels // _SIZE_RATIO
        return min(batch.pixels, SIDE_WORKER_PIXELS)

    def _goes_before(self, task: Task, item: BatchItem) -> bool:
        if task.owner == item.task.owner:
            return task.rank < item.task.rank
        allowance = item.seconds * (1 - _ADDED_SHARE)  # the item was charged in full when it started
        return self._fair_queue.start_tag(task.owner) <= self._fair_queue.start_tag(item.task.owner) - allowance
