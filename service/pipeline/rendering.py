"""The device's part of a request: a decoded picture in, the answer's pixels out. On the event loop.

    picture --resize--> base --resize--> working --networks--> answers --overlay--> painted --enlarger--> painted
        --resize--> of the answer's size --overlay with base, keep colours--> answer

Most requests need the networks alone. What is not a network runs on threads of its own.
"""

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from nets.pixels import Picture
from service.engine.engine import Engine
from service.engine.task import OVERTAKING, Job
from service.engine.threads import helpers
from service.models.model import Model
from service.models.registry import Registry
from service.observability.logs import request_id
from service.observability.tracing import current, record, stage
from service.pipeline.compositing import keep_colors, overlay, resize
from service.pipeline.plan import Recipe, Sizes
from service.pipeline.progress import Progress
from service.pipeline.request import Asked

_COMPOSE = "compose"


@dataclass(frozen=True)
class Ready:
    """A recipe for pictures of one size, with its networks loaded: `layers` and the share of each, and the enlarger."""

    recipe: Recipe
    sizes: Sizes
    layers: tuple[tuple[Model, float], ...]
    enlarger: Model | None

    @property
    def sources(self) -> tuple[tuple[str, float | None], ...]:
        """What makes the answer: each network's identity, and its share where there are several."""
        shares = [share * layer.share for layer in self.recipe.layers for share in layer.mixture.shares]
        names = [name for model, _ in self.layers for name in model.sources]
        made: list[tuple[str, float | None]] = [
            (name, share if len(names) > 1 else None) for name, share in zip(names, shares, strict=True)
        ]
        return (*made, *((name, None) for name in (self.enlarger.sources if self.enlarger else ())))

    @property
    def current(self) -> bool:
        """Whether the networks are those that the recipe was resolved for, and none was swapped meanwhile."""
        return {name for name, _ in self.sources} <= set(self.recipe.identities)


@dataclass
class Rendered:
    """The answer's pixels: uint8 (H, W, 3), and the seconds that it waited, was computed, and was put together.

    exact: whether it is the whole picture's, or instance norm's statistics come from a reduced one.
    """

    picture: Picture
    exact: bool = True
    queue_seconds: float = 0.0
    forward_seconds: float = 0.0
    compose_seconds: float = 0.0


class Renderer:
    """Runs pictures through recipes, on whatever devices the engine has."""

    def __init__(self, engine: Engine, threads: int) -> None:
        """threads: how many pictures are resized or laid over each other at once."""
        self._scheduler, self._costs, self._limits = engine.scheduler, engine.costs, engine.limits
        self._measured: dict[str, str] = {}
        self._threads = helpers(threads, "compose")

    async def load(self, recipe: Recipe, sizes: Sizes, registry: Registry) -> Ready:
        """Load or blend the networks of a recipe. Raises UnknownModelError where one is gone."""
        layers = [(await registry.get_blend(layer.mixture, recipe.parameter), layer.share) for layer in recipe.layers]
        if sizes.enlarger is None:
            return Ready(recipe, sizes, tuple(layers), None)
        return Ready(recipe, sizes, tuple(layers), await registry.get("upscale", f"x{sizes.enlarger}", "factor"))

    async def render(self, ready: Ready, picture: Picture, asked: Asked, progress: Progress) -> Rendered:
        """One picture, uint8 (H, W, 3). A caller that is cancelled leaves the queue.

        Of `asked`, only `expires` and `owner` count. Raises DeadlineError where it passes before the device is free.
        """
        recipe, sizes, done = ready.recipe, ready.sizes, Rendered(picture)
        if sizes.base != picture.shape[:2]:
            done.picture = await self._compose(done, lambda: resize(picture, *sizes.base))
        base = working = done.picture
        if sizes.working != sizes.base:
            working = await self._compose(done, lambda: resize(base, *sizes.working))
        answers = [await self._pass(done, model, working, asked, progress) for model, _ in ready.layers]
        if not answers:
            return done
        painted = answers[0]
        if len(answers) > 1:
            shares = [share for _, share in ready.layers]
            painted = await self._compose(done, lambda: overlay(answers, shares))
        if ready.enlarger is not None:
            painted = await self._pass(done, ready.enlarger, painted, asked, progress)
        if recipe.finishes or painted.shape[:2] != sizes.answer:
            painted = await self._compose(done, lambda: _finish(recipe, sizes, painted, base))
        done.picture = painted
        return done

    async def warm(self, model: Model, pictures: list[Picture]) -> None:
        """Run pictures of growing size, before all others: it tells the costs. Raises what goes wrong.

        Of networks of one shape, which cost the same, the first runs them all, and the others the smallest.
        """
        like = self._measured.setdefault(repr(getattr(model.net, "config", model.label)), model.label)
        for picture in pictures if like == model.label else pictures[:1]:
            await self._run(model, picture, 0.0, None, "", Progress())
        self._costs.adopt(model.label, like)

    def most_pixels(self, recipe: Recipe) -> int | None:
        """The most pixels that the networks of a recipe can work on; None where they take any."""
        limits = [self._limits.most_pixels(layer.mixture.entries[0].facts) for layer in recipe.layers]
        return min((limit for limit in limits if limit is not None), default=None)

    def tiles(self, ready: Ready) -> int:
        """Windows that are computed for one picture, over all passes."""
        models = [model for model, _ in ready.layers] + ([ready.enlarger] if ready.enlarger else [])
        plans = [self._limits.plan(model.facts, *ready.sizes.working) for model in models]
        return sum(len(plan.windows) + plan.reduced for plan in plans)

    def predicted_seconds(self, ready: Ready, pictures: int) -> float:
        """From now to the end of `render` for so many pictures: what is ahead in the queue, and each part of it."""
        working = math.prod(ready.sizes.working)
        passes = [self._costs.predict(model.label, working) for model, _ in ready.layers]
        if ready.enlarger is not None:
            passes.append(self._costs.predict(ready.enlarger.label, working))
        if not passes:
            return 0.0
        composing = self._costs.predict(_COMPOSE, ready.sizes.composed_pixels(ready.recipe))
        ahead = self._scheduler.seconds_before(time.monotonic() + OVERTAKING * passes[0])
        return ahead + pictures * (sum(passes) + composing)

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=True)

    async def _compose(self, done: Rendered, work: Callable[[], Picture]) -> Picture:
        start = time.perf_counter()
        with stage(_COMPOSE):
            picture = await asyncio.get_running_loop().run_in_executor(self._threads, work)
        done.compose_seconds += time.perf_counter() - start
        return picture

    async def _pass(self, done: Rendered, model: Model, picture: Picture, asked: Asked, progress: Progress) -> Picture:
        plan = self._limits.plan(model.facts, *picture.shape[:2])
        cost = self._costs.predict(model.label, plan.pixels, len(plan.windows))
        answer, job = await self._run(model, picture, cost, asked.expires, asked.owner, progress)
        assert job.begun is not None
        done.exact = done.exact and not job.plan.reduced
        done.queue_seconds += job.begun - job.entered
        done.forward_seconds += job.forward_seconds
        return answer

    async def _run(
        self, model: Model, picture: Picture, cost: float, expires: float | None, owner: str, progress: Progress
    ) -> tuple[Picture, Job]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Picture] = loop.create_future()

        def settle(outcome: Picture | Exception) -> None:
            loop.call_soon_threadsafe(_settle, future, outcome)

        plan = self._limits.plan(model.facts, *picture.shape[:2])
        job = Job(model, picture, plan, cost, settle, expires, owner, request_id.get(), current())
        self._scheduler.submit(job)
        progress.compute(job)
        try:
            return await future, job
        finally:
            if not future.done() or future.cancelled():
                self._scheduler.cancel(job)
            record("queue", job.entered, job.begun)
            if job.begun is not None:
                record("forward", job.begun, model=model.label, pixels=job.plan.pixels, windows=job.count)


def _finish(recipe: Recipe, sizes: Sizes, painted: Picture, base: Picture) -> Picture:
    answer = resize(painted, *sizes.answer)
    if recipe.share < 1:
        answer = overlay([answer, base], [recipe.share, 1 - recipe.share])
    return keep_colors(answer, base) if recipe.keeps_colors else answer


def _settle(future: "asyncio.Future[Picture]", outcome: Picture | Exception) -> None:
    if future.done():  # its caller has left
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
