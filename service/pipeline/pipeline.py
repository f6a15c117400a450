"""The path of one request: the stages, joined. The docstring of the package `service` draws it.

`transform` takes encoded images, and `transform_pixels` takes arrays; they share all stages but the codecs.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

from nets.pixels import Picture
from service.engine.cost import CostModel
from service.images.encode import EncodeOptions, choose_format, encode
from service.images.restore import restore
from service.images.sandbox.pool import Decoder
from service.images.types import Decoded, DecodeOptions, Header
from service.models.registry import Registry
from service.observability.logs import note
from service.observability.metrics import Metrics
from service.pipeline.admission import Admission, refuse_if_late
from service.pipeline.cache import ResultCache
from service.pipeline.codecs import Codecs
from service.pipeline.etag import entity_tag, matches
from service.pipeline.limits import largest_factor, refuse_long_side, refuse_memory, refuse_pixels, refuse_whole
from service.pipeline.parameters import StylizeParameters, UpscaleParameters
from service.pipeline.plan import InferencePlan, factors_for, plan_inference
from service.pipeline.prepared import Loaded, Prepared
from service.pipeline.progress import Progress
from service.pipeline.rendering import Rendered, Renderer, stage_milliseconds
from service.pipeline.request import (
    Charge,
    NotModified,
    PixelsResult,
    TransformRequest,
    TransformResult,
    no_charge,
)
from service.settings import Settings

_CODECS = "codecs"


class Pipeline:
    """The stages of one service."""

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        admission: Admission,
        decoder: Decoder,
        renderer: Renderer,
        costs: CostModel,
        cache: ResultCache[TransformResult],
        metrics: Metrics,
        made_by: Callable[[], tuple[object, ...]],
    ) -> None:
        """made_by: returns what a result depends on besides the image, the parameters and the networks."""
        self._settings, self._registry, self._admission, self._metrics = settings, registry, admission, metrics
        self._decoder, self._renderer, self._costs, self._cache = decoder, renderer, costs, cache
        self._made_by = made_by
        self._codecs = Codecs(settings.codec_threads)
        self._quality = {
            "jpeg": settings.jpeg_quality,
            "webp": settings.webp_quality,
            "avif": settings.avif_quality,
        }

    async def transform(
        self, request: TransformRequest, data: bytes, progress: Progress | None = None, charge: Charge = no_charge
    ) -> TransformResult:
        """Run the encoded image in `data` through the networks. Raises NotModified, or a ServiceError.

        progress: is told how far the request is. charge: is called for output that is computed, not for a cached one.
        """
        progress = progress or Progress()
        if request.may_wait:
            await self._admission.wait_for_request(request.owner)
        with self._admission.request(request.owner, request.may_wait):
            prepared = await self._inspect(request, data)
            if matches(prepared.etag, request.known_etags):
                self._metrics.not_modified.inc()
                raise NotModified(prepared.etag)
            if (cached := self._cache.find(prepared.etag)) is not None:
                return replace(cached, cached=True, milliseconds={})
            loaded = await self._load(prepared)
            async with self._permit(prepared, loaded, progress, charge):
                decoded = await self._decode(prepared, loaded, data)
                if decoded.origin == "photo" and loaded.photo is not None:
                    prepared, loaded = _for_photograph(prepared, loaded)
                rendered = await self._render(prepared, loaded, decoded, progress)
                result = await self._encode(prepared, loaded, decoded, rendered)
        if result.etag:
            self._cache.keep(result.etag, result)
        return result

    async def appraise(self, request: TransformRequest, data: bytes) -> tuple[float, int]:
        """Predict the seconds that an image takes, and count the output pixels; both are 0 for a cached output.

        Raises what `transform` raises before it decodes the image.
        """
        prepared = await self._inspect(request, data)
        if self._cache.find(prepared.etag) is not None:
            return 0.0, 0
        loaded = await self._load(prepared)
        seconds = self._renderer.cost_seconds(loaded.plan, prepared.frames)
        seconds += self._costs.predict(_CODECS, loaded.coded_pixels)
        refuse_if_late(request.expires, seconds)
        return seconds, loaded.output_pixels

    async def transform_pixels(
        self, request: TransformRequest, pictures: Sequence[Picture], charge: Charge = no_charge
    ) -> PixelsResult:
        """Run pictures of one size, uint8 (H, W, 3), through the networks, all or none. Raises a ServiceError."""
        count, (height, width) = len(pictures), pictures[0].shape[:2]
        with self._admission.request(request.owner):
            plan = self._plan(request)
            header = Header("png", height, width, count, animated=count > 1, alpha=False, bits=8)
            prepared = Prepared(request, plan, header)
            loaded = await self._load(prepared)
            async with self._permit(prepared, loaded, Progress(), charge):
                rendered = await self._render_together(prepared, loaded, pictures)
        self._count(prepared, loaded)
        exact = all(each.exact for each in rendered)
        outputs = [each.picture for each in rendered]
        return PixelsResult(outputs, exact, loaded.plan.sources, prepared.milliseconds)

    def check(self, request: TransformRequest) -> None:
        """Reject, before the body is read, a request that would be rejected whatever its image is."""
        plan = self._plan(request)
        if request.may_wait:
            self._admission.refuse_if_closed()
            return
        self._admission.refuse_if_full(request.owner)
        may_be_free = not plan.layers or request.known_etags or self._settings.cache_bytes
        if not may_be_free and (queued := self._renderer.seconds_queued()):
            refuse_if_late(request.expires, queued)

    def close(self) -> None:
        """End the codec threads."""
        self._codecs.close()

    def _plan(self, request: TransformRequest) -> InferencePlan:
        """Find the networks. Raises UnknownModelError also for a private style of another owner."""
        if isinstance(request.parameters, StylizeParameters):
            seen = self._registry.seen_by(request.owner)
            for name in request.parameters.style:
                seen.find("stylize", name, "style")
        return plan_inference(request.parameters, self._registry)

    async def _inspect(self, request: TransformRequest, data: bytes) -> Prepared:
        """Find the networks, read the header, choose the format, and compute the entity tag."""
        plan, parameters = self._plan(request), request.parameters
        limits = self._settings.max_pixels, self._settings.max_frames
        milliseconds: dict[str, float] = {}
        measure = partial(self._decoder.measure, data, *limits)
        header = await self._codecs.run(milliseconds, "decode", measure, part="header")
        output = choose_format(parameters.format, request.accept, header, parameters.lossless)
        if isinstance(parameters, UpscaleParameters) and parameters.factor == "max":
            factor = self._fitting(Prepared(request, plan, header, output))
            parameters = parameters.model_copy(update={"factor": factor})
            request = replace(request, parameters=parameters)
            plan = self._plan(request)
        quality = parameters.quality or self._quality.get(output)
        wanted = parameters.model_copy(update={"format": output, "quality": quality, "deadline_ms": None})
        tag = partial(entity_tag, data, wanted, plan.identities, self._made_by())
        etag = await self._codecs.run(milliseconds, "decode", tag, part="tag")
        return Prepared(request, plan, header, output, quality, etag, milliseconds)

    def _fitting(self, prepared: Prepared) -> float:
        """Return the largest factor that the limits permit; 1 for a style."""
        parameters = prepared.request.parameters
        if isinstance(parameters, StylizeParameters):
            return 1.0
        factors = factors_for(parameters, self._registry)
        return largest_factor(
            self._settings, prepared.header, prepared.frames, factors, prepared.format, prepared.memory
        )

    async def _load(self, prepared: Prepared) -> Loaded:
        """Reject what is too large, and load the networks."""
        plan, header, frames = prepared.plan, prepared.header, prepared.frames
        fitting = self._fitting(prepared)
        refuse_pixels(self._settings, header, frames, plan.scale, fitting)
        sizes = plan.sizes(header.height, header.width, self._settings.max_output_pixels)
        refuse_whole(sizes.working, self._renderer.most_pixels(plan, *sizes.working))
        if prepared.format is not None:
            refuse_long_side(max(sizes.output), prepared.format, fitting)
        input_pixels, output_pixels = header.height * header.width * frames, math.prod(sizes.output) * frames
        note(pixels_in=input_pixels, pixels_out=output_pixels)
        loaded = await self._renderer.load(plan, sizes, self._registry)
        photo = None
        if plan.photo is not None and prepared.format is not None:  # pixels say nothing about their file
            photo = await self._renderer.load(plan.photo, sizes, self._registry)
        found = Loaded(loaded, input_pixels, output_pixels, photo)
        refuse_memory(self._settings, found.held_pixels(prepared), fitting)
        return found

    @asynccontextmanager
    async def _permit(
        self, prepared: Prepared, loaded: Loaded, progress: Progress, charge: Charge
    ) -> AsyncIterator[None]:
        """Hold a permit for the pixels, once the deadline can be met and the output is charged."""
        request = prepared.request
        pixels = loaded.held_pixels(prepared)
        if request.may_wait:
            await charge(loaded.output_pixels)
            progress.known.set()
            await self._admission.wait_for_pixels(pixels, request.owner)
        with self._admission.pixels(pixels, request.owner):
            seconds = self._renderer.predicted_seconds(loaded.plan, prepared.frames)
            if prepared.format is not None:
                seconds += self._costs.predict(_CODECS, loaded.coded_pixels)
            refuse_if_late(request.expires, seconds)
            if not request.may_wait:
                await charge(loaded.output_pixels)
            progress.expect(prepared.frames * self._renderer.tiles(loaded.plan), seconds)
            yield

    async def _decode(self, prepared: Prepared, loaded: Loaded, data: bytes) -> Decoded:
        parameters = prepared.request.parameters
        assert prepared.format is not None
        options = DecodeOptions(
            prepared.format,
            prepared.frames,
            prepared.upscales,
            parameters.profile,
            parameters.metadata,
            judging=loaded.photo is not None,
        )
        work = partial(self._decoder.decode, data, prepared.header, options)
        return await self._codecs.run(prepared.milliseconds, "decode", work, loaded.input_pixels)

    async def _render(self, prepared: Prepared, loaded: Loaded, decoded: Decoded, progress: Progress) -> list[Rendered]:
        """Compute the frames one after another, so that one animation does not fill the queue."""
        plan = loaded.plan
        height, width = decoded.frames[0].pixels.shape[:2]
        if (height, width) != plan.sizes.picture:  # the EXIF orientation turned it
            plan = replace(plan, sizes=prepared.plan.sizes(height, width, self._settings.max_output_pixels))
        rendered = [
            await self._renderer.render(plan, each.pixels, prepared.request, progress) for each in decoded.frames
        ]
        prepared.milliseconds.update(stage_milliseconds(rendered))
        progress.encoding = True
        return rendered

    async def _render_together(self, prepared: Prepared, loaded: Loaded, pictures: Sequence[Picture]) -> list[Rendered]:
        """Compute all pictures at once, so that they may share a batch. If one fails, the others are cancelled."""
        renders = [self._renderer.render(loaded.plan, each, prepared.request, Progress()) for each in pictures]
        tasks = [asyncio.ensure_future(each) for each in renders]
        try:
            rendered = await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        prepared.milliseconds.update(stage_milliseconds(rendered))
        return rendered

    async def _encode(
        self, prepared: Prepared, loaded: Loaded, decoded: Decoded, rendered: list[Rendered]
    ) -> TransformResult:
        assert prepared.format is not None
        milliseconds = prepared.milliseconds
        work = partial(_restore_and_encode, decoded, rendered, prepared)
        body = await self._codecs.run(milliseconds, "encode", work, loaded.output_pixels)
        self._costs.observe(_CODECS, loaded.coded_pixels, (milliseconds["decode"] + milliseconds["encode"]) / 1000)
        self._count(prepared, loaded)
        exact, etag = all(each.exact for each in rendered), prepared.etag if loaded.plan.current else ""
        declared = {**decoded.declared, **prepared.declared}
        return TransformResult(body, prepared.format, exact, loaded.plan.sources, declared, etag, milliseconds)

    def _count(self, prepared: Prepared, loaded: Loaded) -> None:
        for name, value in prepared.milliseconds.items():
            self._metrics.stage_duration.labels(name).observe(value / 1000)
        self._metrics.pixels.labels(prepared.plan.label, "in").inc(loaded.input_pixels)
        self._metrics.pixels.labels(prepared.plan.label, "out").inc(loaded.output_pixels)


def _for_photograph(prepared: Prepared, loaded: Loaded) -> tuple[Prepared, Loaded]:
    """Replace the networks by those for photographs."""
    assert prepared.plan.photo is not None
    assert loaded.photo is not None
    return replace(prepared, plan=prepared.plan.photo), replace(loaded, plan=loaded.photo, photo=None)


def _restore_and_encode(decoded: Decoded, rendered: list[Rendered], prepared: Prepared) -> bytes:
    """Put back what was set aside for the networks (profile, transparency, depth), and encode."""
    milliseconds = tuple(frame.milliseconds for frame in decoded.frames)
    pictures = restore(decoded, [each.picture for each in rendered])
    assert prepared.format is not None
    options = EncodeOptions(
        prepared.quality, decoded.icc, decoded.metadata, milliseconds, decoded.plays, lossless=prepared.lossless
    )
    return encode(pictures, prepared.format, options)
