"""The request path: one function that joins the stages. See the package's docstring for the drawing."""

import asyncio
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

from service.admission import Admission, refuse_if_late
from service.cache import ResultCache
from service.cost import CostModel
from service.decode import decode, measure
from service.encode import choose_format, encode
from service.errors import TooManyPixelsError
from service.etag import entity_tag, is_named
from service.formats import MAX_SIDE_PX, Format, sniff
from service.knobs import Knobs
from service.metrics import Metrics
from service.recipe import Recipe, resolve
from service.registry import Registry
from service.rendering import Renderer
from service.settings import Settings

Value = TypeVar("Value")

_LARGE_PIXELS = 4_000_000
_CODECS = "codecs"


@dataclass(frozen=True)
class Asked:
    """What a client wants. expires: on the clock of time.monotonic. if_none_match: the tags of what it has already."""

    knobs: Knobs
    format: Format | None = None
    accept: str | None = None
    expires: float | None = None
    if_none_match: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """An encoded picture, what made it, and the milliseconds of each stage.

    exact: whether it is the whole picture's, or instance norm's statistics come from a reduced one. sources: the
    networks that made it, with their shares. tag: its entity tag; "" where a network was swapped meanwhile.
    cached: whether it was made for someone before.
    """

    body: bytes
    format: Format
    exact: bool
    sources: tuple[tuple[str, float | None], ...]
    tag: str
    milliseconds: dict[str, float] = field(default_factory=dict)
    cached: bool = False


@dataclass(frozen=True)
class NotModified:
    """The client has the answer already: it named its tag."""

    tag: str


class Pipeline:
    """The stages of one service, joined."""

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        admission: Admission,
        renderer: Renderer,
        costs: CostModel,
        cache: ResultCache[Answer],
        metrics: Metrics,
        made_by: Callable[[], tuple[object, ...]],
    ) -> None:
        """made_by: what else than networks and knobs an answer depends on: version, precision."""
        self._settings, self._registry, self._admission, self._metrics = settings, registry, admission, metrics
        self._renderer, self._costs, self._cache = renderer, costs, cache
        self._quality = {"jpeg": settings.jpeg_quality, "webp": settings.webp_quality}
        self._codecs = ThreadPoolExecutor(settings.codec_threads, thread_name_prefix="codec")
        self._large_codec = ThreadPoolExecutor(1, thread_name_prefix="codec-large")  # small pictures do not wait for it
        self._made_by = made_by

    async def transform(self, asked: Asked, data: bytes) -> Answer | NotModified:
        """Run the picture in `data` through the networks. Raises an ImpastoError for every way of no."""
        with self._admission.request():
            recipe = resolve(asked.knobs, self._registry)
            tag = await self._tag(asked, recipe, data)
            if tag and is_named(tag, asked.if_none_match):
                self._metrics.not_modified.inc()
                return NotModified(tag)
            known = self._cache.get(tag) if tag else None
            if known is not None:
                return replace(known, cached=True, milliseconds={})
            answer = await self._make(asked, recipe, tag, data)
        if answer.tag:
            self._cache.put(answer.tag, answer, len(answer.body))
        return answer

    async def _make(self, asked: Asked, recipe: Recipe, tag: str, data: bytes) -> Answer:
        milliseconds: dict[str, float] = {}
        codec, limit = partial(self._on_codec, milliseconds), self._limit(recipe)
        height, width = await codec("decode", 0, partial(measure, data, *limit))
        sizes = recipe.sizes(height, width, self._settings.max_output_pixels)
        there, back = height * width, math.prod(sizes.answer)
        ready = await self._renderer.load(recipe, sizes, self._registry)
        with self._admission.picture(there + sizes.held_pixels(recipe)):
            coding = self._costs.predict(_CODECS, there + back)
            refuse_if_late(asked.expires, self._renderer.predicted_seconds(ready) + coding)
            decoded = await codec("decode", there, partial(decode, data, *limit))
            if decoded.pixels.shape[:2] != (height, width):  # it lay on its side
                ready = replace(ready, sizes=recipe.sizes(width, height, self._settings.max_output_pixels))
            kind = choose_format(asked.format, asked.accept, decoded.format)
            _refuse_long_side(max(sizes.answer), kind)
            rendered = await self._renderer.render(ready, decoded.pixels, asked.expires)
            milliseconds |= {"queue": rendered.queue_seconds * 1000, "forward": rendered.forward_seconds * 1000}
            if rendered.compose_seconds:
                milliseconds["compose"] = rendered.compose_seconds * 1000
            encoder = partial(encode, rendered.picture, decoded.alpha, decoded.icc, kind, self._quality)
            body = await codec("encode", back, encoder)
        self._costs.observe(_CODECS, there + back, (milliseconds["decode"] + milliseconds["encode"]) / 1000)
        for stage, value in milliseconds.items():
            self._metrics.stage_duration.labels(stage).observe(value / 1000)
        self._metrics.pixels.labels(recipe.label, "in").inc(there)
        self._metrics.pixels.labels(recipe.label, "out").inc(back)
        return Answer(body, kind, rendered.exact, ready.sources, tag if ready.current else "", milliseconds)

    def check(self, knobs: Knobs) -> None:
        """Say no before the body is read, where the answer would be no in any case."""
        resolve(knobs, self._registry)
        self._admission.refuse_if_full()

    def close(self) -> None:
        """End the codec threads."""
        self._codecs.shutdown(wait=True)
        self._large_codec.shutdown(wait=True)

    async def _tag(self, asked: Asked, recipe: Recipe, data: bytes) -> str:
        """The entity tag of the answer to come; "" where there will be none, since the body is no picture."""
        source = sniff(data)
        if source is None:
            return ""
        kind = choose_format(asked.format, asked.accept, source)
        wanted = replace(asked, format=kind, accept=None, expires=None, if_none_match=())
        return await asyncio.to_thread(entity_tag, data, wanted, recipe.identities, self._made_by(), self._quality)

    def _limit(self, recipe: Recipe) -> tuple[int, str]:
        """The most pixels that a picture may have, and why there are not more: the answer, too, has a limit."""
        scale, most = recipe.scale, self._settings.max_output_pixels
        by_answer = most // scale**2
        if by_answer >= self._settings.max_pixels:
            return self._settings.max_pixels, ""
        return by_answer, f": the network makes each side {scale} times as long, and an answer has at most {most}"

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
