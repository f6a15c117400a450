"""A task: the work of one request for the devices, its state and the windows that are left."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from nets.pixels import Picture
from nets.tiling import Window
from service.engine.tiling_plan import TilingPlan
from service.models.model import Model
from service.observability.tracing import RequestSpan

AGEING_FACTOR = 4.0
"""A shorter task that arrives later overtakes a task until the task has waited this many times its own cost."""


class TaskState(Enum):
    """The state of a task. QUEUED: no window was started. RUNNING: a window was started. The others are final."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


TRANSITIONS: dict[TaskState, frozenset[TaskState]] = {
    TaskState.QUEUED: frozenset({TaskState.RUNNING, TaskState.FAILED, TaskState.EXPIRED, TaskState.CANCELLED}),
    TaskState.RUNNING: frozenset({TaskState.DONE, TaskState.FAILED, TaskState.CANCELLED}),
    TaskState.DONE: frozenset(),
    TaskState.FAILED: frozenset(),
    TaskState.EXPIRED: frozenset(),
    TaskState.CANCELLED: frozenset(),
}
"""The states that may follow each state. A task that runs out of memory starts again and stays RUNNING."""


@dataclass(eq=False)
class Task:
    """One picture on its way through one network. The scheduler changes it, under its lock.

    cost_seconds: predicted time on the whole device. on_result: called once, from any thread, with the output or the
    error; not called for a cancelled task. expires: the deadline on the clock of time.monotonic, or None. owner: the
    client that the device time is charged to. request_id, span: for logs and traces.
    """

    model: Model
    picture: Picture
    plan: TilingPlan
    cost_seconds: float
    on_result: Callable[[Picture | Exception], None]
    expires: float | None = None
    owner: str = ""
    request_id: str | None = None
    span: RequestSpan | None = None
    submitted: float = field(default_factory=time.monotonic)
    started: float | None = None
    forward_seconds: float = 0.0
    state: TaskState = TaskState.QUEUED
    statistics: object = None
    waiting: deque[Window | None] = field(default_factory=deque)
    output: Picture | None = None
    unfinished_count: int = 1
    window_count: int = 1

    def __post_init__(self) -> None:
        self.restart(self.plan)

    def restart(self, plan: TilingPlan) -> None:
        """Discard all results and start again with `plan`."""
        self.plan = plan
        reduced_pass: list[Window | None] = [None] if plan.reduced else []
        self.waiting = deque([*reduced_pass, *plan.windows])
        self.unfinished_count = self.window_count = len(self.waiting)
        self.statistics, self.output = None, None

    def move_to(self, state: TaskState) -> None:
        """Change the state. Raises ValueError for a transition that TRANSITIONS does not allow."""
        if state not in TRANSITIONS[self.state]:
            raise ValueError(f"a task cannot go from {self.state.value} to {state.value}")
        self.state = state

    def start_window(self, now: float) -> Window | None:
        """Take the next window and allocate the output for a plan of several windows. None: the reduced pass."""
        window = self.waiting.popleft()
        if self.state is TaskState.QUEUED:
            self.move_to(TaskState.RUNNING)
            self.started = now
        if self.output is None and len(self.plan.windows) > 1:
            height, width = self.picture.shape[:2]
            scale = self.model.facts.scale
            self.output = np.zeros((height * scale, width * scale, 3), self.picture.dtype)
        return window

    @property
    def rank(self) -> float:
        """The order among the tasks of one owner, lowest first: shortest job first with ageing."""
        return self.submitted + AGEING_FACTOR * self.cost_seconds

    @property
    def remaining_seconds(self) -> float:
        """The predicted time of the unfinished windows."""
        return self.cost_seconds * self.unfinished_count / self.window_count

    @property
    def over(self) -> bool:
        """Whether the state is final."""
        return not TRANSITIONS[self.state]

    @property
    def on_device(self) -> bool:
        """Whether a worker computes at least one of its windows."""
        return self.unfinished_count > len(self.waiting)

    @property
    def ready(self) -> bool:
        """Whether its next window can start. Windows that need statistics wait for the reduced pass."""
        if not self.waiting or self.over:
            return False
        return not (self.plan.reduced and self.statistics is None and self.waiting[0] is not None)

    @property
    def waiting_pixels(self) -> int:
        """Input pixels of the windows that were not started."""
        return sum(self.window_pixels(window) for window in self.waiting)

    @property
    def next_pixels(self) -> int:
        """Input pixels of the next window."""
        return self.window_pixels(self.waiting[0])

    def window_pixels(self, window: Window | None) -> int:
        """Return the input pixels of a window; None: of the reduced pass."""
        return self.plan.pixels // 4 if window is None else window.pixels

    def window_seconds(self, window: Window | None) -> float:
        """Return the predicted time of a window; None: of the reduced pass."""
        return self.cost_seconds * self.window_pixels(window) / max(1, self.plan.pixels)

    def is_late(self, now: float, slowdown: int = 1) -> bool:
        """Return whether a queued task cannot meet its deadline. slowdown: factor on its cost under contention."""
        if self.state is not TaskState.QUEUED or self.expires is None:
            return False
        return now + slowdown * self.cost_seconds > self.expires
