"""What each style looks like: a bundled photograph, painted by the network itself, once for each version of it."""

import asyncio

from service.models.model import ModelEntry
from service.models.registry import Registry
from service.pipeline.parameters import Stylizing
from service.pipeline.pipeline import Pipeline
from service.pipeline.request import Answer, Asked

_SIDE_PX = 360
_QUALITY = 82


class Thumbnails:
    """Small JPEGs by style, made when they are first asked for. On the event loop alone."""

    def __init__(self, pipeline: Pipeline, registry: Registry, photograph: bytes) -> None:
        """photograph: an encoded picture."""
        self._pipeline, self._registry, self._photograph = pipeline, registry, photograph
        self._made: dict[str, asyncio.Task[Answer]] = {}

    async def of(self, entry: ModelEntry) -> bytes:
        """The JPEG of a style. Raises what painting it raises; then the next one who asks tries again."""
        served = {each.identity for each in self._registry.entries.values()}
        for identity in self._made.keys() - served:  # swapped or gone
            del self._made[identity]
        task = self._made.get(entry.identity)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = self._made[entry.identity] = asyncio.create_task(self._paint(entry))
        return (await asyncio.shield(task)).body

    def close(self) -> None:
        """Give up what is being made."""
        for task in self._made.values():
            task.cancel()

    async def _paint(self, entry: ModelEntry) -> Answer:
        knobs = Stylizing(((entry.card.name, 1.0),), stroke=1.0, max_side=_SIDE_PX)
        asked = Asked(knobs, format="jpeg", quality=_QUALITY, patient=True)
        answer = await self._pipeline.transform(asked, self._photograph)
        assert isinstance(answer, Answer)  # no tag was named
        return answer
