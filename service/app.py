"""Builds the parts of the service and joins them. Nothing else."""

import asyncio
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI
from PIL import Image
from prometheus_client import CollectorRegistry

from service import __version__
from service.auth.keys import KeyRing
from service.auth.quotas import Quotas
from service.engine.engine import Engine, warm_up_pictures
from service.engine.threads import helpers, permitted_threads
from service.http.body_timeout import BodyPace
from service.http.cors import add_cors
from service.http.head_options import AllMethods
from service.http.middleware import RequestContext
from service.http.open_inference import routes as open_inference
from service.http.openapi import describe
from service.http.problems import install_handlers
from service.http.routes import admin, jobs, operations, page, transform
from service.http.static import EXAMPLE, read_pages
from service.images.sandbox.pool import Decoder, decoder_of
from service.memory import give_back
from service.models.registry import Registry
from service.observability.logs import lines_lost
from service.observability.metrics import Metrics
from service.observability.tracing import Tracer
from service.pipeline.admission import Admission
from service.pipeline.cache import ResultCache
from service.pipeline.jobs import Tickets
from service.pipeline.pipeline import Pipeline
from service.pipeline.pixel_path import PixelPath
from service.pipeline.rendering import Renderer
from service.pipeline.request import Answer
from service.pipeline.thumbnails import Thumbnails
from service.settings import Settings

_FILE_THREADS = 8
"""What `asyncio.to_thread` has: for files, checkpoints, bodies."""


def create_app(
    settings: Settings, registry: Registry, threads: int | None = None, tracer: Tracer | None = None
) -> FastAPI:
    """A service over the models of `registry`; it takes pictures once its lifespan has begun.

    threads: CPU threads of the devices together; None for as many as there may be. tracer: where spans go; None:
    nowhere. Raises StartupError where the settings ask for a device that is not there, or for keys or a store of quotas
    that cannot be read.
    """
    warnings.simplefilter("error", Image.DecompressionBombWarning)  # Pillow goes on after a warning
    metrics = Metrics(CollectorRegistry())
    keys, quotas = KeyRing(settings, metrics), Quotas(settings, metrics)
    engine = Engine(settings, metrics, threads or permitted_threads())
    admission = Admission(
        settings.max_requests,
        settings.max_pixels_in_flight,
        engine.scheduler.seconds_before,
        metrics.requests_in_flight,
        share=settings.max_key_share if keys.asked_for else 1.0,
    )
    renderer = Renderer(engine, settings.codec_threads)
    decoder = decoder_of(settings, metrics)
    cache: ResultCache[Answer] = ResultCache(settings.cache_bytes, metrics)
    pipeline = Pipeline(
        settings,
        registry,
        admission,
        decoder,
        renderer,
        engine.costs,
        cache,
        metrics,
        made_by=lambda: (__version__, engine.precision, settings.max_whole_pixels),
    )

    pages = read_pages()
    thumbnails = Thumbnails(pipeline, registry, pages[EXAMPLE].body)
    tickets = Tickets(settings, engine.scheduler.ahead, metrics)
    metrics.log_lines_lost.set_function(lines_lost)
    metrics.ready.set_function(lambda: float(admission.open and engine.alive and bool(registry.entries)))

    app = FastAPI(
        title="Impasto",
        version=__version__,
        summary="Real-time style transfer and super-resolution.",
        lifespan=partial(_lifespan, decoder=decoder, renderer=renderer, tracer=tracer),
        docs_url=None,  # the page's router has it, with a content security policy
        redoc_url=None,
    )
    app.state.settings, app.state.registry, app.state.metrics = settings, registry, metrics
    app.state.admission, app.state.engine, app.state.pipeline, app.state.warm = admission, engine, pipeline, False
    app.state.keys, app.state.quotas = keys, quotas
    app.state.tickets, app.state.pages = tickets, pages
    app.state.pixel_path = PixelPath(settings, registry, admission, renderer, metrics)
    app.state.thumbnails = thumbnails
    outer = [transform.router, jobs.router, page.router, operations.probes, operations.router, open_inference.router]
    inner = [admin.router, operations.inside] if settings.probe_port is None else []
    for router in (*outer, *inner):
        app.include_router(router)
    _surround(app, settings, metrics, tracer)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI, decoder: Decoder, renderer: Renderer, tracer: Tracer | None) -> AsyncIterator[None]:
    """Start the parts, one after the other, let pictures in, and at the end stop them."""
    state, settings = app.state, app.state.settings

    def close() -> None:
        state.admission.open = False

    decoder.start()
    asyncio.get_running_loop().set_default_executor(helpers(_FILE_THREADS, "files"))
    await state.engine.start(on_fatal=close)
    _describe(state.metrics, state.engine)
    await state.registry.start(partial(renderer.warm, pictures=warm_up_pictures()), state.metrics)
    give_back()  # the warm-up's
    watching = asyncio.create_task(state.registry.watch(settings.watch_seconds)) if settings.watch_seconds else None
    state.warm = state.admission.open = True
    try:
        yield
    finally:  # an error or a cancellation in between stops the parts too: a thread left over would abort the process
        close()
        if watching is not None:
            watching.cancel()
        await state.tickets.stop()
        state.thumbnails.close()
        await state.engine.stop()
        renderer.close()
        state.pipeline.close()
        await state.quotas.close()
        decoder.close()
        if tracer is not None:
            await asyncio.to_thread(tracer.close)


def _surround(app: FastAPI, settings: Settings, metrics: Metrics, tracer: Tracer | None) -> None:
    """What is around the routes, the innermost first."""
    app.add_middleware(BodyPace, seconds=settings.body_seconds, bytes_per_second=settings.body_bytes_per_second)
    app.add_middleware(AllMethods, router=app.router)
    add_cors(app, settings.cors_origins)
    app.add_middleware(RequestContext, metrics=metrics, tracer=tracer)
    install_handlers(app)
    describe(app)


def _describe(metrics: Metrics, engine: Engine) -> None:
    """Set the metrics that do not change while the service runs."""
    metrics.build_info.info(
        {
            "version": __version__,
            "device": ",".join(map(str, engine.devices)),
            "precision": engine.precision,
        }
    )
