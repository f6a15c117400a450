"""The request path: one function that joins the stages. See the package's docstring for the drawing."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from nets.architecture import Task
from nets.pixels import Picture
from service.admission import Admission
from service.batcher import Batcher
from service.decode import decode
from service.encode import choose_format, encode
from service.errors import TooManyPixelsError
from service.formats import MAX_SIDE_PX, MEDIA_TYPES, Format
from service.metrics import Metrics
from service.registry import Model, Registry
from service.settings import Settings

Value = TypeVar("Value")

BatchKey = tuple[str, tuple[int, ...]]
"""What jobs of one batch share: the model's key and the picture's shape."""


@dataclass(frozen=True)
class Answer:
    """An encoded picture, what made it, and the milliseconds of each stage."""

    body: bytes
    media_type: str
    model: Model
    milliseconds: dict[str, float]


class Pipeline:
    """The stages of one service, joined."""

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        admission: Admission,
        batcher: Batcher[BatchKey, Picture, Picture],
        metrics: Metrics,
    ) -> None:
        self._settings, self._registry, self._admission = settings, registry, admission
        self._batcher, self._metrics = batcher, metrics
        self._quality = {"jpeg": settings.jpeg_quality, "webp": settings.webp_quality}
        self._codecs = ThreadPoolExecutor(settings.codec_threads, thread_name_prefix="codec")

    async def transform(
        self, task: Task, parameter: str, name: str, data: bytes, asked: Format | None, accept: str | None
    ) -> Answer:
        """Run the picture in `data` through the model `task`/`name`. Raises an ImpastoError for every way of no."""
        model = self._registry.find(task, name, parameter)
        milliseconds: dict[str, float] = {}
        with self._admission.permit():
            picture = await self._on_codec("decode", milliseconds, partial(decode, data, *self._limit(model)))
            height, width = picture.pixels.shape[:2]
            kind = choose_format(asked, accept, picture.format)
            _refuse_long_side(max(height, width) * model.facts.scale, kind)
            key = (model.key, picture.pixels.shape)
            pixels, timing = await self._batcher.submit(key, picture.pixels, height * width)
            self._note("queue", milliseconds, timing.queue_seconds)
            self._note("forward", milliseconds, timing.forward_seconds)
            encoder = partial(encode, pixels, picture.alpha, picture.icc, kind, self._quality)
            body = await self._on_codec("encode", milliseconds, encoder)
        self._metrics.pixels.labels(model.key, "in").inc(height * width)
        self._metrics.pixels.labels(model.key, "out").inc(pixels.shape[0] * pixels.shape[1])
        return Answer(body, MEDIA_TYPES[kind], model, milliseconds)

    def check(self, task: Task, parameter: str, name: str) -> None:
        """Say no before the body is read, where the answer would be no in any case."""
        self._registry.find(task, name, parameter)
        self._admission.refuse_if_full()

    def _limit(self, model: Model) -> tuple[int, str]:
        """The most pixels that `model` takes, and why there are not more: the answer, too, has a limit."""
        by_answer = self._settings.max_output_pixels // model.facts.scale**2
        if by_answer >= self._settings.max_pixels:
            return self._settings.max_pixels, ""
        scale = model.facts.scale
        most = self._settings.max_output_pixels
        return by_answer, f": each side becomes {scale} times as long, and an answer has at most {most}"

    def close(self) -> None:
        """End the codec threads."""
        self._codecs.shutdown(wait=True)

    async def _on_codec(self, stage: str, milliseconds: dict[str, float], work: Callable[[], Value]) -> Value:
        start = time.perf_counter()
        value = await asyncio.get_running_loop().run_in_executor(self._codecs, work)
        self._note(stage, milliseconds, time.perf_counter() - start)
        return value

    def _note(self, stage: str, milliseconds: dict[str, float], seconds: float) -> None:
        milliseconds[stage] = seconds * 1000
        self._metrics.stage_duration.labels(stage).observe(seconds)


def _refuse_long_side(side: int, kind: Format) -> None:
    """Refuse, before any work, an answer that its format cannot hold."""
    if side > MAX_SIDE_PX[kind]:
        raise TooManyPixelsError(
            f"the answer would have a side of {side} pixels, {kind} holds at most {MAX_SIDE_PX[kind]}; try format=png",
            parameter="format",
            value=kind,
            expected=f"a side of at most {MAX_SIDE_PX[kind]} pixels, or format=png",
        )
