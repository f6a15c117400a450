"""The request path for those who have pixels already: as `pipeline`, without decoding and encoding."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass

from nets.pixels import Picture
from service.images.types import Header
from service.models.registry import Registry
from service.observability.logs import note
from service.observability.metrics import Metrics
from service.pipeline.admission import Admission, refuse_if_late
from service.pipeline.limits import refuse_pixels, refuse_whole
from service.pipeline.plan import resolve
from service.pipeline.progress import Progress
from service.pipeline.rendering import Rendered, Renderer
from service.pipeline.request import Asked, Charge, free
from service.settings import Settings


@dataclass(frozen=True)
class Painted:
    """Answers: uint8 (H, W, 3) each; what made them, with shares; milliseconds of each stage over all of them."""

    pictures: list[Picture]
    exact: bool
    sources: tuple[tuple[str, float | None], ...]
    milliseconds: dict[str, float]


class PixelPath:
    """Admission, networks and limits of a service, for arrays."""

    def __init__(
        self, settings: Settings, registry: Registry, admission: Admission, renderer: Renderer, metrics: Metrics
    ) -> None:
        self._settings, self._registry, self._admission = settings, registry, admission
        self._renderer, self._metrics = renderer, metrics

    async def paint(self, asked: Asked, pictures: Sequence[Picture], charge: Charge = free) -> Painted:
        """Run pictures of one size, uint8 (H, W, 3), through the networks, all or none. Raises a ServiceError.

        Of what was asked, the knobs, `expires` and `owner` count.
        """
        with self._admission.request(owner=asked.owner):
            recipe, count = resolve(asked.knobs, self._registry), len(pictures)
            height, width = pictures[0].shape[:2]
            header = Header("png", height, width, count, count > 1, alpha=False, bits=8)
            refuse_pixels(self._settings, header, count, recipe.scale)
            sizes = recipe.sizes(height, width, self._settings.max_output_pixels)
            refuse_whole(sizes.working, self._renderer.most_pixels(recipe))
            there, back = height * width * count, math.prod(sizes.answer) * count
            note(pixels_in=there, pixels_out=back)
            ready = await self._renderer.load(recipe, sizes, self._registry)
            with self._admission.picture(there + back + count * sizes.extra_pixels(recipe), asked.owner):
                refuse_if_late(asked.expires, self._renderer.predicted_seconds(ready, count))
                await charge(back)
                tasks = [
                    asyncio.ensure_future(self._renderer.render(ready, each, asked, Progress())) for each in pictures
                ]
                try:
                    rendered = await asyncio.gather(*tasks)  # at once, so that they may share a batch
                finally:
                    for task in tasks:
                        task.cancel()
                    await asyncio.gather(*tasks, return_exceptions=True)
        milliseconds = _stages(rendered)
        for stage, value in milliseconds.items():
            self._metrics.stage_duration.labels(stage).observe(value / 1000)
        self._metrics.pixels.labels(recipe.label, "in").inc(there)
        self._metrics.pixels.labels(recipe.label, "out").inc(back)
        exact = all(each.exact for each in rendered)
        return Painted([each.picture for each in rendered], exact, ready.sources, milliseconds)


def _stages(rendered: Sequence[Rendered]) -> dict[str, float]:
    return {
        "queue": 1000 * sum(each.queue_seconds for each in rendered),
        "forward": 1000 * sum(each.forward_seconds for each in rendered),
        "compose": 1000 * sum(each.compose_seconds for each in rendered),
    }
