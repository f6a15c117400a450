"""The request path: one function that joins the stages. See the package's docstring for the drawing."""

import asyncio
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from service.engine.cost import CostModel
from service.images.encode import EncodeOptions, choose_format, encode
from service.images.formats import ANIMATING, Format
from service.images.restore import restore
from service.images.sandbox.pool import Decoder
from service.images.types import Decoded, DecodeOptions, Header
from service.models.registry import Registry
from service.observability.logs import note
from service.observability.metrics import Metrics
from service.observability.tracing import stage
from service.pipeline.admission import Admission, refuse_if_late
from service.pipeline.cache import ResultCache
from service.pipeline.etag import entity_tag, is_named
from service.pipeline.limits import refuse_long_side, refuse_pixels, refuse_whole
from service.pipeline.parameters import Enlarging, Knobs
from service.pipeline.plan import Recipe, resolve
from service.pipeline.progress import Progress
from service.pipeline.rendering import Rendered, Renderer
from service.pipeline.request import Answer, Asked, Charge, NotModified, free
from service.settings import Settings

Value = TypeVar("Value")

_LARGE_PIXELS = 4_000_000
_CODECS = "codecs"


@dataclass(frozen=True)
class _Order:
    """A request whose picture's header was read. kind: the answer's format. tag: its entity tag."""

    asked: Asked
    recipe: Recipe
    header: Header
    kind: Format
    quality: int | None
    tag: str

    @property
    def frames(self) -> int:
        """Pictures that are read and answered."""
        return self.header.frames if self.header.animated and self.kind in ANIMATING else 1

    @property
    def enlarging(self) -> bool:
        """Whether sizes, depth and transparency are the networks' work."""
        return isinstance(self.asked.knobs, Enlarging)

    @property
    def lossless(self) -> bool:
        """Whether a WebP is written without loss: it came so, and the client asks for nothing less."""
        return self.kind == "webp" and self.header.lossless and self.asked.quality in {None, 100}

    @property
    def passes(self) -> int:
        """Pictures that go through the networks for each frame: transparency is one of its own when enlarging."""
        return 2 if self.header.alpha and self.enlarging else 1

    @property
    def memory(self) -> int:
        """How many times the memory of a picture in 8-bit colour it takes."""
        return self.passes * (2 if self.header.bits > 8 else 1)


class Pipeline:
    """The stages of one service, joined."""

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        admission: Admission,
        decoder: Decoder,
        renderer: Renderer,
        costs: CostModel,
        cache: ResultCache[Answer],
        metrics: Metrics,
        made_by: Callable[[], tuple[object, ...]],
    ) -> None:
        """made_by: what an answer depends on besides the picture, the knobs and the networks."""
        self._settings, self._registry, self._admission, self._metrics = settings, registry, admission, metrics
        self._decoder, self._renderer, self._costs, self._cache, self._made_by = (
            decoder,
            renderer,
            costs,
            cache,
            made_by,
        )
        self._quality = {
            "jpeg": settings.jpeg_quality,
            "webp": settings.webp_quality,
            "avif": settings.avif_quality,
        }
        self._codecs = ThreadPoolExecutor(settings.codec_threads, thread_name_prefix="codec")
        self._large_codec = ThreadPoolExecutor(1, thread_name_prefix="codec-large")  # small pictures do not wait for it

    async def transform(
        self, asked: Asked, data: bytes, progress: Progress | None = None, charge: Charge = free
    ) -> Answer | NotModified:
        """Run the picture in `data` through the networks. Raises a ServiceError for every way of no.

        progress: is told how far it is. charge: what is computed is paid for; what is kept or known costs nothing.
        """
        milliseconds: dict[str, float] = {}
        if asked.patient:
            await self._admission.room(owner=asked.owner)
        with self._admission.request(asked.patient, asked.owner):
            order = await self._read(asked, data, milliseconds)
            if is_named(order.tag, asked.if_none_match):
                self._metrics.not_modified.inc()
                return NotModified(order.tag)
            if (known := self._cache.get(order.tag)) is not None:
                return replace(known, cached=True, milliseconds={})
            answer = await self._make(order, data, milliseconds, progress or Progress(), charge)
        if answer.tag:
            self._cache.put(answer.tag, answer, len(answer.body))
        return answer

    def check(self, knobs: Knobs, patient: bool = False, owner: str = "") -> None:
        """Say no before the body is read, where the answer would be no in any case. patient: fullness is no reason."""
        resolve(knobs, self._registry)
        if patient:
            self._admission.refuse_if_closed()
        else:
            self._admission.refuse_if_full(owner)

    def close(self) -> None:
        """End the codec threads."""
        self._codecs.shutdown(wait=True)
        self._large_codec.shutdown(wait=True)

    async def _read(self, asked: Asked, data: bytes, milliseconds: dict[str, float]) -> _Order:
        """Find the networks, read the header, choose the format: all that the answer depends on, and its tag."""
        recipe = resolve(asked.knobs, self._registry)
        most = self._settings.max_pixels, self._settings.max_frames
        header = await self._on_codec(milliseconds, "decode", 0, partial(self._decoder.measure, data, *most), "header")
        kind = choose_format(asked.format, asked.accept, header.format, header.animated, header.alpha)
        quality = asked.quality or self._quality.get(kind)
        wanted = asked.knobs, kind, quality, asked.profile, asked.metadata
        tagging = partial(entity_tag, data, wanted, recipe.identities, self._made_by())
        tag = await self._on_codec(milliseconds, "decode", 0, tagging, "tag")
        return _Order(asked, recipe, header, kind, quality, tag)

    async def _make(
        self, order: _Order, data: bytes, milliseconds: dict[str, float], progress: Progress, charge: Charge
    ) -> Answer:
        asked, recipe, header = order.asked, order.recipe, order.header
        codec = partial(self._on_codec, milliseconds)
        refuse_pixels(self._settings, header, order.frames, recipe.scale)
        sizes = recipe.sizes(header.height, header.width, self._settings.max_output_pixels)
        refuse_whole(sizes.working, self._renderer.most_pixels(recipe))
        refuse_long_side(max(sizes.answer), order.kind)
        there, back = header.height * header.width * order.frames, math.prod(sizes.answer) * order.frames
        note(pixels_in=there, pixels_out=back)
        ready = await self._renderer.load(recipe, sizes, self._registry)
        pixels = (there + back) * order.memory + sizes.extra_pixels(recipe)
        if asked.patient:
            await charge(back)
            progress.known.set()
            await self._admission.room(pixels, asked.owner)
        with self._admission.picture(pixels, asked.owner):
            coding = self._costs.predict(_CODECS, there + back)
            pictures = order.frames * order.passes
            seconds = self._renderer.predicted_seconds(ready, pictures) + coding
            refuse_if_late(asked.expires, seconds)
            if not asked.patient:
                await charge(back)
            progress.expect(pictures * self._renderer.tiles(ready), seconds)
            decode_options = DecodeOptions(order.kind, order.frames, order.enlarging, asked.profile, asked.metadata)
            decoded = await codec("decode", there, partial(self._decoder.decode, data, header, decode_options))
            height, width = decoded.frames[0].pixels.shape[:2]
            if (height, width) != sizes.picture:  # it lay on its side
                ready = replace(ready, sizes=recipe.sizes(height, width, self._settings.max_output_pixels))
            rendered = [await self._renderer.render(ready, each, asked, progress) for each in decoded.pictures]
            milliseconds |= _stages(rendered)
            progress.encoding = True
            body = await codec("encode", back, partial(_finish, decoded, rendered, order))
        self._costs.observe(_CODECS, there + back, (milliseconds["decode"] + milliseconds["encode"]) / 1000)
        self._count(recipe.label, there, back, milliseconds)
        exact, tag = all(each.exact for each in rendered), order.tag if ready.current else ""
        return Answer(body, order.kind, exact, ready.sources, decoded.declared, tag, milliseconds)

    def _count(self, label: str, there: int, back: int, milliseconds: dict[str, float]) -> None:
        for name, value in milliseconds.items():
            self._metrics.stage_duration.labels(name).observe(value / 1000)
        self._metrics.pixels.labels(label, "in").inc(there)
        self._metrics.pixels.labels(label, "out").inc(back)

    async def _on_codec(
        self, milliseconds: dict[str, float], name: str, pixels: int, work: Callable[[], Value], part: str = ""
    ) -> Value:
        """Run a stage, or a part of one, on a codec thread, which logs with the ids of the request."""
        start = time.perf_counter()
        threads = self._large_codec if pixels > _LARGE_PIXELS else self._codecs
        with stage(part or name, pixels=pixels):
            value = await asyncio.get_running_loop().run_in_executor(threads, copy_context().run, work)
        milliseconds[name] = milliseconds.get(name, 0.0) + (time.perf_counter() - start) * 1000
        return value


def _stages(rendered: list[Rendered]) -> dict[str, float]:
    """Milliseconds of each stage over all pictures; that of composing only where there was any."""
    seconds = {
        "queue": sum(each.queue_seconds for each in rendered),
        "forward": sum(each.forward_seconds for each in rendered),
        "compose": sum(each.compose_seconds for each in rendered),
    }
    return {name: value * 1000 for name, value in seconds.items() if value or name != "compose"}


def _finish(decoded: Decoded, rendered: list[Rendered], order: _Order) -> bytes:
    """The network's answers, made the client's picture again, and encoded."""
    milliseconds = tuple(frame.milliseconds for frame in decoded.frames)
    pictures = restore(decoded, [each.picture for each in rendered])
    options = EncodeOptions(
        order.quality, decoded.icc, decoded.metadata, milliseconds, decoded.plays, lossless=order.lossless
    )
    return encode(pictures, order.kind, options)
