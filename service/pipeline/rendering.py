"""The device's part of a request: decoded pictures in, output pixels out. Runs on the event loop.

    picture --resize--> base --resize--> working --networks--> layers --blend--> painted --enlarger--> painted
        --resize--> output size --blend with base, keep colours--> output

Most requests need only the networks. Resizing and blending run on threads of their own.
"""

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nets.pixels import Picture
from service.engine.engine import Engine
from service.engine.task import AGEING_FACTOR, Task
from service.engine.threads import helper_pool
from service.memory import give_back
from service.models.model import Model
from service.models.registry import Registry
from service.observability.logs import request_id
from service.observability.tracing import current, record, stage
from service.pipeline.compositing import blend, keep_colors, resize
from service.pipeline.plan import InferencePlan, Sizes
from service.pipeline.progress import Progress
from service.pipeline.request import Sources, TransformRequest

_COMPOSE = "compose"
_LARGE_PIXELS = 16_000_000  # an output above it needs about as much memory as the feature maps before it


@dataclass(frozen=True)
class LoadedPlan:
    """A plan for pictures of one size, with its networks in memory: each layer with its share, and the enlarger."""

    plan: InferencePlan
    sizes: Sizes
    layers: tuple[tuple[Model, float], ...]
    enlarger: Model | None

    @property
    def sources(self) -> Sources:
        """The networks' identities, and the share of each if there are several."""
        shares = [share * layer.share for layer in self.plan.layers for share in layer.mixture.shares]
        names = [name for model, _ in self.layers for name in model.sources]
        made: list[tuple[str, float | None]] = [
            (name, share if len(names) > 1 else None) for name, share in zip(names, shares, strict=True)
        ]
        return (*made, *((name, None) for name in (self.enlarger.sources if self.enlarger else ())))

    @property
    def current(self) -> bool:
        """Whether the networks are those of the plan; False if one was replaced in the meantime."""
        return {name for name, _ in self.sources} <= set(self.plan.identities)


@dataclass
class Rendered:
    """Output pixels, uint8 or uint16 (H, W, 3), and the seconds that each stage took.

    exact: False if the statistics of instance norm come from a reduced picture.
    """

    picture: Picture
    exact: bool = True
    queue_seconds: float = 0.0
    forward_seconds: float = 0.0
    compose_seconds: float = 0.0


def stage_milliseconds(rendered: Sequence[Rendered]) -> dict[str, float]:
    """Sum the milliseconds of each stage over all pictures. "compose" is left out if there was nothing to compose."""
    seconds = {
        "queue": sum(each.queue_seconds for each in rendered),
        "forward": sum(each.forward_seconds for each in rendered),
        "compose": sum(each.compose_seconds for each in rendered),
    }
    return {name: value * 1000 for name, value in seconds.items() if value or name != "compose"}


class Renderer:
    """Runs pictures through plans, on the devices of the engine."""

    def __init__(self, engine: Engine, threads: int) -> None:
        """threads: how many pictures are resized or blended at once."""
        self._scheduler, self._costs, self._limits = engine.scheduler, engine.costs, engine.limits
        self._measured: dict[str, str] = {}
        self._threads = helper_pool(threads, "compose")

    async def load(self, plan: InferencePlan, sizes: Sizes, registry: Registry) -> LoadedPlan:
        """Load or interpolate the networks of a plan. Raises UnknownModelError if one was removed."""
        layers = [(await registry.get_blend(layer.mixture, plan.named_by), layer.share) for layer in plan.layers]
        if sizes.enlarger is None:
            return LoadedPlan(plan, sizes, tuple(layers), None)
        return LoadedPlan(plan, sizes, tuple(layers), await registry.get("upscale", f"x{sizes.enlarger}", "factor"))

    async def render(
        self, loaded: LoadedPlan, picture: Picture, request: TransformRequest, progress: Progress
    ) -> Rendered:
        """Compute one picture, uint8 or uint16 (H, W, 3). If the caller is cancelled, the work leaves the queue.

        Of the request, `expires` and `owner` count. Raises DeadlineError if the deadline passes before the start.
        """
        plan, sizes, rendered = loaded.plan, loaded.sizes, Rendered(picture)
        if sizes.base != picture.shape[:2]:
            rendered.picture = await self._compose(rendered, lambda: resize(picture, *sizes.base))
        base = working = rendered.picture
        if sizes.working != sizes.base:
            working = await self._compose(rendered, lambda: resize(base, *sizes.working))
        outputs = [await self._pass(rendered, model, working, request, progress) for model, _ in loaded.layers]
        if not outputs:
            return rendered
        painted = outputs[0]
        if len(outputs) > 1:
            shares = [share for _, share in loaded.layers]
            painted = await self._compose(rendered, lambda: blend(outputs, shares))
        if loaded.enlarger is not None:
            painted = await self._pass(rendered, loaded.enlarger, painted, request, progress)
        if plan.finishes or painted.shape[:2] != sizes.output:
            painted = await self._compose(rendered, lambda: _finish(plan, sizes, painted, base))
        rendered.picture = painted
        return rendered

    async def warm(self, model: Model, pictures: list[Picture]) -> None:
        """Run pictures of growing size before all requests, to measure the cost. Raises what goes wrong.

        Networks of the same architecture cost the same: the first one runs all pictures, the others the smallest.
        """
        like = self._measured.setdefault(repr(getattr(model.net, "config", model.label)), model.label)
        for picture in pictures if like == model.label else pictures[:1]:
            await self._run(model, picture, 0.0, None, "", Progress())
        self._costs.adopt(model.label, like)

    def most_pixels(self, plan: InferencePlan, height: int, width: int) -> int | None:
        """Return the most pixels that the networks of a plan can take of this shape; None if they take any number."""
        limits = [self._limits.max_pixels(layer.mixture.entries[0].facts, height, width) for layer in plan.layers]
        return min((limit for limit in limits if limit is not None), default=None)

    def tiles(self, loaded: LoadedPlan) -> int:
        """Count the windows that are computed for one picture, over all passes."""
        models = [model for model, _ in loaded.layers] + ([loaded.enlarger] if loaded.enlarger else [])
        plans = [self._limits.plan(model.facts, *loaded.sizes.working) for model in models]
        return sum(len(plan.windows) + plan.reduced for plan in plans)

    def seconds_queued(self) -> float:
        """Predict how long the smallest picture would wait for a device now."""
        return self._scheduler.seconds_before(time.monotonic())

    def predicted_seconds(self, loaded: LoadedPlan, pictures: int) -> float:
        """Predict the time from now until `pictures` of them are rendered: the queue ahead, and each pass."""
        if not (passes := self._passes(loaded)):
            return 0.0
        ahead = self._scheduler.seconds_before(time.monotonic() + AGEING_FACTOR * passes[0])
        return ahead + self.cost_seconds(loaded, pictures)

    def cost_seconds(self, loaded: LoadedPlan, pictures: int) -> float:
        """Predict the time to render `pictures` on free devices."""
        if not (passes := self._passes(loaded)):
            return 0.0
        composing = self._costs.predict(_COMPOSE, loaded.sizes.composed_pixels(loaded.plan))
        return pictures * (sum(passes) + composing)

    def _passes(self, loaded: LoadedPlan) -> list[float]:
        """Predict the seconds of each pass of one picture."""
        models = [model for model, _ in loaded.layers] + ([loaded.enlarger] if loaded.enlarger else [])
        return [self._costs.predict(model.label, math.prod(loaded.sizes.working)) for model in models]

    def close(self) -> None:
        """Wait for the threads, and end them."""
        self._threads.shutdown(wait=True)

    async def _compose(self, rendered: Rendered, work: Callable[[], Picture]) -> Picture:
        start = time.perf_counter()
        with stage(_COMPOSE):
            picture = await asyncio.get_running_loop().run_in_executor(self._threads, work)
        rendered.compose_seconds += time.perf_counter() - start
        return picture

    async def _pass(
        self, rendered: Rendered, model: Model, picture: Picture, request: TransformRequest, progress: Progress
    ) -> Picture:
        plan = self._limits.plan(model.facts, *picture.shape[:2])
        cost = self._costs.predict(model.label, plan.pixels, len(plan.windows))
        output, task = await self._run(model, picture, cost, request.expires, request.owner, progress)
        assert task.started is not None
        rendered.exact = rendered.exact and not task.plan.reduced
        rendered.queue_seconds += task.started - task.submitted
        rendered.forward_seconds += task.forward_seconds
        return output

    async def _run(
        self, model: Model, picture: Picture, cost: float, expires: float | None, owner: str, progress: Progress
    ) -> tuple[Picture, Task]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Picture] = loop.create_future()

        def settle(outcome: Picture | Exception) -> None:
            loop.call_soon_threadsafe(_settle, future, outcome)

        plan = self._limits.plan(model.facts, *picture.shape[:2])
        task = Task(model, picture, plan, cost, settle, expires, owner, request_id.get(), current())
        self._scheduler.submit(task)
        progress.compute(task)
        try:
            return await future, task
        finally:
            if not future.done() or future.cancelled():
                self._scheduler.cancel(task)
            record("queue", task.submitted, task.started)
            if task.started is not None:
                record("forward", task.started, model=model.label, pixels=task.plan.pixels, windows=task.window_count)


def _finish(plan: InferencePlan, sizes: Sizes, painted: Picture, base: Picture) -> Picture:
    if math.prod(sizes.output) > _LARGE_PIXELS:
        give_back()  # the feature maps are free now, and the output does not fit into their place
    output = resize(painted, *sizes.output)
    if plan.share < 1:
        output = blend([output, base], [plan.share, 1 - plan.share])
    return keep_colors(output, base) if plan.keeps_colors else output


def _settle(future: "asyncio.Future[Picture]", outcome: Picture | Exception) -> None:
    if future.done():  # the caller was cancelled
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
