"""The request path: one function that joins the stages. See the package's docstring for the drawing."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from nets.architecture import Task
from service.admission import Admission, refuse_if_late
from service.cost import CostModel
from service.decode import decode, measure
from service.encode import choose_format, encode
from service.errors import TooManyPixelsError
from service.formats import MAX_SIDE_PX, MEDIA_TYPES, Format
from service.metrics import Metrics
from service.model import Model
from service.registry import Registry
from service.rendering import Renderer
from service.settings import Settings

Value = TypeVar("Value")

_LARGE_PIXELS = 4_000_000
_CODECS = "codecs"


@dataclass(frozen=True)
class Asked:
    """What a client wants: `parameter` is what it named the model by. expires: on the clock of time.monotonic."""

    task: Task
    parameter: str
    name: str
    format: Format | None = None
    accept: str | None = None
    expires: float | None = None


@dataclass(frozen=True)
class Answer:
    """An encoded picture, what made it, and the milliseconds of each stage.

    exact: whether it is the whole picture's, or instance norm's statistics come from a reduced one.
    """

    body: bytes
    media_type: str
    model: Model
    exact: bool
    milliseconds: dict[str, float] = field(default_factory=dict)


class Pipeline:
    """The stages of one service, joined."""

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        admission: Admission,
        renderer: Renderer,
        costs: CostModel,
        metrics: Metrics,
    ) -> None:
        self._settings, self._registry, self._admission, self._metrics = settings, registry, admission, metrics
        self._renderer, self._costs = renderer, costs
        self._quality = {"jpeg": settings.jpeg_quality, "webp": settings.webp_quality}
        self._codecs = ThreadPoolExecutor(settings.codec_threads, thread_name_prefix="codec")
        self._large_codec = ThreadPoolExecutor(1, thread_name_prefix="codec-large")  # small pictures do not wait for it

    async def transform(self, asked: Asked, data: bytes) -> Answer:
        """Run the picture in `data` through the model. Raises an ImpastoError for every way of no."""
        milliseconds: dict[str, float] = {}
        with self._admission.request():
            model = await self._registry.get(asked.task, asked.name, asked.parameter)
            codec = partial(self._on_codec, milliseconds)
            height, width = await codec("decode", 0, partial(measure, data, *self._limit(model)))
            there, back = height * width, height * width * model.facts.scale**2
            with self._admission.picture(there + back):
                refuse_if_late(asked.expires, self._predicted_seconds(model, there, there + back))
                decoded = await codec("decode", there, partial(decode, data, *self._limit(model)))
                kind = choose_format(asked.format, asked.accept, decoded.format)
                _refuse_long_side(max(height, width) * model.facts.scale, kind)
                rendered = await self._renderer.render(model, decoded.pixels, asked.expires)
                milliseconds |= {"queue": rendered.queue_seconds * 1000, "forward": rendered.forward_seconds * 1000}
                encoder = partial(encode, rendered.picture, decoded.alpha, decoded.icc, kind, self._quality)
                body = await codec("encode", back, encoder)
        self._costs.observe(_CODECS, there + back, (milliseconds["decode"] + milliseconds["encode"]) / 1000)
        for stage, value in milliseconds.items():
            self._metrics.stage_duration.labels(stage).observe(value / 1000)
        self._metrics.pixels.labels(model.key, "in").inc(there)
        self._metrics.pixels.labels(model.key, "out").inc(back)
        return Answer(body, MEDIA_TYPES[kind], model, rendered.exact, milliseconds)

    def check(self, task: Task, parameter: str, name: str) -> None:
        """Say no before the body is read, where the answer would be no in any case."""
        self._registry.find(task, name, parameter)
        self._admission.refuse_if_full()

    def close(self) -> None:
        """End the codec threads."""
        self._codecs.shutdown(wait=True)
        self._large_codec.shutdown(wait=True)

    def _limit(self, model: Model) -> tuple[int, str]:
        """The most pixels that `model` takes, and why there are not more: the answer, too, has a limit."""
        whole = self._renderer.most_pixels(model)
        if whole is not None and whole < self._settings.max_pixels:
            return whole, ": this network runs whole pictures only"
        by_answer = self._settings.max_output_pixels // model.facts.scale**2
        if by_answer >= self._settings.max_pixels:
            return self._settings.max_pixels, ""
        scale = model.facts.scale
        most = self._settings.max_output_pixels
        return by_answer, f": each side becomes {scale} times as long, and an answer has at most {most}"

    def _predicted_seconds(self, model: Model, pixels: int, coded_pixels: int) -> float:
        """From now to the answer: what is ahead in the queue, the pass, decoding and encoding."""
        return self._renderer.predicted_seconds(model.key, pixels) + self._costs.predict(_CODECS, coded_pixels)

    async def _on_codec(
        self, milliseconds: dict[str, float], stage: str, pixels: int, work: Callable[[], Value]
    ) -> Value:
        start = time.perf_counter()
        threads = self._large_codec if pixels > _LARGE_PIXELS else self._codecs
        value = await asyncio.get_running_loop().run_in_executor(threads, work)
        milliseconds[stage] = milliseconds.get(stage, 0.0) + (time.perf_counter() - start) * 1000
        return value


def _refuse_long_side(side: int, kind: Format) -> None:
    """Refuse, before any work, an answer that its format cannot hold."""
    if side > MAX_SIDE_PX[kind]:
        raise TooManyPixelsError(
            f"the answer would have a side of {side} pixels, {kind} holds at most {MAX_SIDE_PX[kind]}; try format=png",
            parameter="format",
            value=kind,
            expected=f"a side of at most {MAX_SIDE_PX[kind]} pixels, or format=png",
        )
