"""One request's work for the device: the windows that its picture is cut into, and what became of them."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from nets.architecture import Facts
from nets.pixels import Picture
from nets.tiling import Window, windows
from service.errors import InferenceError
from service.models.model import Model
from service.observability.tracing import RequestSpan

OVERTAKING = 4.0
"""A job may be overtaken by shorter ones until it has waited this many times its own cost."""

_LEAST_PIXELS, _ANY_PIXELS = 2**14, 2**62
_STYLE_STEP_PX = 8  # three reductions by two


@dataclass(frozen=True)
class Plan:
    """How a picture is computed. reduced: statistics of instance norm come first, from a reduced picture."""

    windows: list[Window]
    reduced: bool = False

    @property
    def pixels(self) -> int:
        """Pixels that are computed, halos included."""
        return sum(window.pixels for window in self.windows)


class Limits:
    """The most pixels that are computed at once; halved where the memory was not enough. Read by all threads."""

    def __init__(self, whole_pixels: int, tile_pixels: int, on_halved: Callable[[], None] = lambda: None) -> None:
        self.whole_pixels, self.tile_pixels = whole_pixels, tile_pixels
        self.batch_pixels = _ANY_PIXELS
        self._on_halved = on_halved

    def plan(self, facts: Facts, height: int, width: int) -> Plan:
        """Cut a picture for a network."""
        if facts.halo is not None:
            step = 1 if facts.scale > 1 else _STYLE_STEP_PX
            return Plan(windows(height, width, facts.halo, self.tile_pixels, step))
        if height * width <= self.whole_pixels or not facts.approximable:
            return Plan(windows(height, width, 0, height * width))
        return Plan(
            windows(height, width, facts.radius, min(self.tile_pixels, self.whole_pixels), _STYLE_STEP_PX), True
        )

    def most_pixels(self, facts: Facts) -> int | None:
        """The largest picture that a network takes; None where it takes any, in tiles."""
        return None if facts.halo is not None or facts.approximable else self.whole_pixels

    def halve(self, facts: Facts, pixels: int) -> None:
        """A pass over so many pixels was too much. Raises InferenceError where less makes no sense."""
        self._on_halved()
        if pixels <= _LEAST_PIXELS or (facts.halo is None and not facts.approximable):
            raise InferenceError(f"the device has not enough memory for {pixels} pixels")
        if facts.halo is None:
            self.whole_pixels = min(self.whole_pixels, pixels // 2)
        self.tile_pixels = min(self.tile_pixels, max(_LEAST_PIXELS, pixels // 2))

    def halve_batches(self, pixels: int) -> None:
        """A batch of so many pixels was too much."""
        self._on_halved()
        self.batch_pixels = min(self.batch_pixels, pixels // 2)


@dataclass(eq=False)
class Job:
    """A picture on its way through a network. The scheduler owns it: all changes are made under its lock.

    settle: called once, from any thread, with the answer or the error. expires: on the clock of time.monotonic.
    owner: whose it is; owners share the device evenly.
    request_id, span: of whose request it is, for logs and traces.
    """

    model: Model
    picture: Picture
    plan: Plan
    cost_seconds: float
    settle: Callable[[Picture | Exception], None]
    expires: float | None = None
    owner: str = ""
    request_id: str | None = None
    span: RequestSpan | None = None
    entered: float = field(default_factory=time.monotonic)
    begun: float | None = None
    forward_seconds: float = 0.0
    over: bool = False
    statistics: object = None
    waiting: deque[Window | None] = field(default_factory=deque)
    answer: Picture | None = None
    left: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        self.restart(self.plan)

    def restart(self, plan: Plan) -> None:
        """Begin (again) from nothing."""
        self.plan = plan
        first: list[Window | None] = [None] if plan.reduced else []
        self.waiting = deque([*first, *plan.windows])
        self.left = self.count = len(self.waiting)
        self.statistics, self.answer = None, None

    @property
    def rank(self) -> float:
        """Who goes first: the lowest."""
        return self.entered + OVERTAKING * self.cost_seconds

    @property
    def remaining_seconds(self) -> float:
        """Predicted seconds of what is not done yet."""
        return self.cost_seconds * self.left / self.count

    @property
    def computing(self) -> bool:
        """Whether a device has something of it."""
        return self.left > len(self.waiting)

    @property
    def waiting_pixels(self) -> int:
        """Input pixels that no device has taken yet."""
        return sum(self.pixels_of(window) for window in self.waiting)

    def pixels_of(self, window: Window | None) -> int:
        """Input pixels of one of its windows; None: of its reduced pass."""
        return self.plan.pixels // 4 if window is None else window.pixels

    def seconds_of(self, window: Window | None) -> float:
        """Predicted seconds of one of its windows."""
        return self.cost_seconds * self.pixels_of(window) / max(1, self.plan.pixels)

    @property
    def startable(self) -> bool:
        """Whether its next window can be computed now."""
        if not self.waiting or self.over:
            return False
        return not (self.plan.reduced and self.statistics is None and self.waiting[0] is not None)

    def expired(self, now: float, slower: int = 1) -> bool:
        """Whether it cannot be done in time, so many times slower than alone, if nothing of it was begun."""
        return self.begun is None and self.expires is not None and now + slower * self.cost_seconds > self.expires

    def blank_answer(self) -> Picture:
        """A black picture of the answer's size, in which the windows' answers are put together."""
        height, width = self.picture.shape[:2]
        scale = self.model.facts.scale
        return np.zeros((height * scale, width * scale, 3), self.picture.dtype)
