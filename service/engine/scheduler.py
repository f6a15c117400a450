"""The scheduler: one queue before all devices. It decides what a worker computes next.

It is work-conserving: a free worker takes what is ready and never waits for a batch to fill. Owners share the devices
by start-time fair queueing (`fair_queue`). The tasks of one owner run shortest job first with ageing (`Task.rank`).
A small task may preempt a pass between two bands (`preemption`). Windows of one size share a batch, of whatever owners,
as far as the device gains by it, where they are for one model or for styles of one trunk.

The scheduler knows neither torch nor the event loop. Every method may be called from any thread.
"""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from nets.pixels import Picture
from nets.tiling import Window, paste
from service.engine.batch import Batch, BatchItem
from service.engine.contention import Contention
from service.engine.fair_queue import FairQueue
from service.engine.preemption import PreemptionPolicy
from service.engine.task import Task, TaskState
from service.engine.tiling_plan import TilingPlan
from service.errors import DeadlineError, InferenceError, ServiceError, UnavailableError
from service.models.model import Model


class QueueObserver(Protocol):
    """Is told what happens to the queue. The metrics implement it."""

    def queue_changed(self, label: str, tasks: int, pixels: int) -> None:
        """Count `tasks` and `pixels` of a model that entered the queue, or left it if negative."""

    def batch_started(self, items: int, pixels: int) -> None:
        """Count a forward pass."""

    def task_dropped(self, reason: str) -> None:
        """Count a task without an output. reason: "client_left" or "deadline"."""


class Scheduler:
    """The queue of tasks, and the policies that order it."""

    def __init__(
        self,
        observer: QueueObserver,
        batch_pixels: Callable[[Model], int],
        max_items: int,
        devices: int,
        workers_per_device: int = 1,
    ) -> None:
        """batch_pixels: up to how many pixels a batch of a model is faster per item; 0: never. max_items: per batch.

        workers_per_device: side workers included. A task takes that many times longer when all of them compute.
        """
        self._observer, self._batch_pixels, self._max_items = observer, batch_pixels, max_items
        self._devices, self._workers_per_device = devices, workers_per_device
        self._tasks: list[Task] = []
        self._fair_queue, self._contention = FairQueue(), Contention()
        self._preemption = PreemptionPolicy(self._fair_queue)
        self._changed = threading.Condition()
        self._closed = False

    def submit(self, task: Task) -> None:
        """Queue a task. Raises UnavailableError after `close`."""
        with self._changed:
            if self._closed:
                raise UnavailableError("the service is shutting down", {"Retry-After": "5"})
            self._tasks.append(task)
            self._contention.add(task.owner)
            self._observer.queue_changed(task.model.label, 1, task.waiting_pixels)
            self._changed.notify_all()

    def cancel(self, task: Task) -> None:
        """End a task whose client has disconnected. Its running window stops after the present band."""
        with self._changed:
            if not task.over:
                self._observer.task_dropped("client_left")
                self._end(task, TaskState.CANCELLED)

    def take(self) -> Batch | None:
        """Wait for the next batch of a main worker. None: the scheduler is closed and empty."""
        return self._wait_for_batch(self._ready_tasks)

    def take_beside(self) -> Batch | None:
        """Wait for the next batch of a side worker. None: the scheduler is closed and empty."""
        return self._wait_for_batch(lambda: self._contention.side_worker_tasks(self._ready_tasks(), self._tasks))

    def take_preempting(self, batch: Batch) -> Batch | None:
        """Return a batch that preempts a running one, or None. It does not wait."""
        with self._changed:
            self._drop_late_tasks()
            return self._next([task for task in self._ready_tasks() if self._preemption.may_preempt(task, batch)])

    def yield_to_others(self, batch: Batch, paused: AbstractContextManager[None]) -> None:
        """Pause a side worker between two bands while an owner of incomparable load runs.

        paused: entered while the side worker waits. Returns at once if nothing of the batch is needed any more.
        """
        owner = batch.items[0].task.owner

        def may_go_on() -> bool:
            return not batch.needed or self._contention.may_run_beside(owner, self._tasks)

        with self._changed:
            if not may_go_on():
                with paused:
                    self._changed.wait_for(may_go_on)

    def complete(self, batch: Batch, outputs: Sequence[Picture | Exception], seconds: float) -> None:
        """Store the outputs of a batch, one output or error per item. seconds: the duration of the pass."""
        with self._changed:  # a task that is restarted meanwhile has another output array
            targets = [item.task.output if item.needed else None for item in batch.items]
        for item, output, target in zip(batch.items, outputs, targets, strict=True):
            if target is not None and item.window is not None and not isinstance(output, Exception):
                paste(output, item.window, batch.model.facts.scale, target)  # megabytes: not under the lock
        with self._changed:
            for item, output in zip(batch.items, outputs, strict=True):
                if item.needed:
                    if len(item.plan.windows) == 1 and not isinstance(output, Exception):
                        item.task.output = output
                    self._finish_window(item.task, output if isinstance(output, Exception) else None, seconds)
            self._changed.notify_all()

    def complete_reduced_pass(self, item: BatchItem, statistics: object, seconds: float) -> None:
        """Store the statistics of a reduced pass, so that the windows of its task can start."""
        with self._changed:
            if item.needed:
                item.task.statistics = statistics
                self._finish_window(item.task, None, seconds)
            self._changed.notify_all()

    def restart(self, item: BatchItem, plan: TilingPlan) -> None:
        """Start the task of an item again with another plan."""
        with self._changed:
            if item.needed:
                self._observer.queue_changed(item.task.model.label, 0, plan.pixels - item.task.waiting_pixels)
                item.task.restart(plan)
            self._changed.notify_all()

    def fail(self, item: BatchItem, error: Exception) -> None:
        """End the task of an item with an error."""
        with self._changed:
            if item.needed:
                self._end(item.task, TaskState.FAILED, error)

    def fail_all(self, error: ServiceError) -> None:
        """End all tasks with an error, and accept no more."""
        with self._changed:
            self._closed = True
            for task in list(self._tasks):
                self._end(task, TaskState.FAILED, error)
            self._changed.notify_all()

    @property
    def idle(self) -> bool:
        """Whether no task is waiting or running."""
        return not self._tasks

    def close(self) -> None:
        """Accept no more tasks. The workers finish those in the queue."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def seconds_before(self, rank: float | None = None) -> float:
        """Return the predicted seconds until a task of that rank starts; None: until the queue is empty."""
        with self._changed:
            ahead = [task.remaining_seconds for task in self._tasks if rank is None or task.rank <= rank]
        return sum(ahead) / self._devices

    def tasks_before(self, task: Task) -> int:
        """Return the number of unfinished tasks that were started or go before a task."""
        with self._changed:
            return sum(
                other is not task and (other.started is not None or other.rank < task.rank) for other in self._tasks
            )

    def _wait_for_batch(self, startable: Callable[[], list[Task]]) -> Batch | None:
        with self._changed:
            while True:
                self._drop_late_tasks()
                batch = self._next(startable())
                if batch is not None:
                    return batch
                if self._closed and not self._tasks:
                    return None
                self._changed.wait()

    def _drop_late_tasks(self) -> None:
        now = time.monotonic()
        contended = sum(bool(task.waiting) for task in self._tasks) > 1
        slowdown = self._workers_per_device if contended else 1
        for task in [task for task in self._tasks if task.is_late(now, slowdown)]:
            self._observer.task_dropped("deadline")
            error = DeadlineError("the deadline passed before the device was free")
            self._end(task, TaskState.EXPIRED, error)

    def _ready_tasks(self) -> list[Task]:
        """Return the tasks that can start, in the order in which they go."""
        ready = [task for task in self._tasks if task.ready]
        return sorted(ready, key=lambda task: (self._fair_queue.start_tag(task.owner), task.rank))

    def _next(self, startable: list[Task]) -> Batch | None:
        """Start a batch with the first of the tasks, and fill it with windows of all of them."""
        if not startable:
            return None
        now = time.monotonic()
        first = self._start(startable[0], now)
        batch = Batch(first.task.model, [first])
        if not first.plan.reduced:
            self._fill(batch, startable, now)
        self._observer.batch_started(len(batch.items), batch.pixels)
        return batch

    def _fill(self, batch: Batch, startable: list[Task], now: float) -> None:
        """Add windows that may share the pass, of the same size and depth, as far as the device gains by it."""
        size, depth = _size(batch.items[0].window), batch.items[0].task.picture.dtype
        max_items = min(self._max_items, self._batch_pixels(batch.model) // batch.pixels)
        for task in startable:
            while len(batch.items) < max_items and task.model.may_share_pass(batch.model) and task.ready:
                if task.plan.reduced or _size(task.waiting[0]) != size or task.picture.dtype != depth:
                    break
                batch.items.append(self._start(task, now))

    def _start(self, task: Task, now: float) -> BatchItem:
        queued = int(task.state is TaskState.QUEUED)
        window = task.start_window(now)
        self._observer.queue_changed(task.model.label, -queued, -task.window_pixels(window))
        self._fair_queue.charge(task.owner, task.window_seconds(window))
        return BatchItem(task, task.plan, window)

    def _finish_window(self, task: Task, error: Exception | None, seconds: float) -> None:
        task.unfinished_count -= 1
        task.forward_seconds += seconds
        if error is not None:
            self._end(task, TaskState.FAILED, error)
        elif not task.unfinished_count:
            assert task.output is not None
            self._end(task, TaskState.DONE, task.output)

    def _end(self, task: Task, state: TaskState, result: Picture | Exception | None = None) -> None:
        queued = int(task.state is TaskState.QUEUED)
        task.move_to(state)
        self._tasks.remove(task)
        self._contention.remove(task.owner)
        if not self._tasks:
            self._fair_queue.reset()
        self._changed.notify_all()
        self._observer.queue_changed(task.model.label, -queued, -task.waiting_pixels)
        task.waiting.clear()
        if isinstance(result, Exception) and not isinstance(result, ServiceError):
            result = InferenceError("the network failed on this image")  # the client must not see internal messages
        if result is not None:
            task.on_result(result)


def _size(window: Window | None) -> tuple[int, int] | None:
    return None if window is None else (window.height, window.width)
