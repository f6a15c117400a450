"""A small example image for each style: a bundled photograph, painted by the network once for each of its versions."""

import asyncio

from service.models.model import ModelEntry
from service.models.registry import Registry
from service.pipeline.parameters import StylizeParameters
from service.pipeline.pipeline import Pipeline
from service.pipeline.request import TransformRequest, TransformResult

_SIDE_PX = 600
_QUALITY = 82


class Thumbnails:
    """Small JPEGs by style, made at the first request for each. Use it on the event loop only."""

    def __init__(self, pipeline: Pipeline, registry: Registry, photograph: bytes) -> None:
        """photograph: an encoded image."""
        self._pipeline, self._registry, self._photograph = pipeline, registry, photograph
        self._tasks: dict[str, asyncio.Task[TransformResult]] = {}

    async def of(self, entry: ModelEntry) -> bytes:
        """Return the JPEG of a style. Raises a ServiceError if the network fails; the next request tries again."""
        served = {each.identity for each in self._registry.entries.values()}
        for identity in self._tasks.keys() - served:  # replaced or removed
            del self._tasks[identity]
        task = self._tasks.get(entry.identity)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = self._tasks[entry.identity] = asyncio.create_task(self._paint(entry))
        return (await asyncio.shield(task)).body

    def close(self) -> None:
        """Cancel unfinished thumbnails."""
        for task in self._tasks.values():
            task.cancel()

    async def _paint(self, entry: ModelEntry) -> TransformResult:
        parameters = StylizeParameters(
            style=entry.card.name, stroke="off", max_side=_SIDE_PX, format="jpeg", quality=_QUALITY
        )
        request = TransformRequest(parameters, may_wait=True, owner=entry.owner)
        return await self._pipeline.transform(request, self._photograph)
