"""The device's part of a request: a decoded picture in, the answer's pixels out. On the event loop."""

import asyncio
import time
from dataclasses import dataclass

from nets.pixels import Picture
from service.engine import Engine
from service.jobs import OVERTAKING, Job
from service.model import Model


@dataclass(frozen=True)
class Rendered:
    """The answer's pixels: uint8 (H, W, 3), and the seconds that it waited and was computed.

    exact: whether it is the whole picture's, or instance norm's statistics come from a reduced one.
    """

    picture: Picture
    exact: bool
    queue_seconds: float
    forward_seconds: float


class Renderer:
    """Runs pictures through models, on whatever devices the engine has."""

    def __init__(self, engine: Engine) -> None:
        self._scheduler, self._costs, self._limits = engine.scheduler, engine.costs, engine.limits

    async def render(self, model: Model, picture: Picture, expires: float | None) -> Rendered:
        """One picture, uint8 (H, W, 3). A caller that is cancelled leaves the queue.

        expires: on the clock of time.monotonic; raises DeadlineError where it passes before the device is free.
        """
        plan = self._limits.plan(model.facts, *picture.shape[:2])
        cost = self._costs.predict(model.key, plan.pixels, len(plan.windows))
        return await self._run(model, picture, cost, expires)

    async def warm(self, model: Model, pictures: list[Picture]) -> None:
        """Run pictures of growing size, before all others: it tells the costs. Raises what goes wrong."""
        for picture in pictures:
            await self._run(model, picture, 0.0, None)

    def most_pixels(self, model: Model) -> int | None:
        """The largest picture that a model takes; None where it takes any."""
        return self._limits.most_pixels(model.facts)

    def predicted_seconds(self, key: str, pixels: int) -> float:
        """From now to the end of a pass over so many pixels: what is ahead of it in the queue, and the pass."""
        cost = self._costs.predict(key, pixels)
        return self._scheduler.seconds_before(time.monotonic() + OVERTAKING * cost) + cost

    async def _run(self, model: Model, picture: Picture, cost: float, expires: float | None) -> Rendered:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Picture] = loop.create_future()

        def settle(outcome: Picture | Exception) -> None:
            loop.call_soon_threadsafe(_settle, future, outcome)

        job = Job(model, picture, self._limits.plan(model.facts, *picture.shape[:2]), cost, settle, expires)
        self._scheduler.submit(job)
        try:
            answer = await future
        finally:
            if not future.done() or future.cancelled():
                self._scheduler.cancel(job)
        assert job.begun is not None
        return Rendered(answer, not job.plan.reduced, job.begun - job.entered, job.forward_seconds)


def _settle(future: "asyncio.Future[Picture]", outcome: Picture | Exception) -> None:
    if future.done():  # its caller has left
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
