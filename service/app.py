"""Builds the parts of the service, and joins them."""

import asyncio
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from fastapi import FastAPI
from PIL import Image
from prometheus_client import CollectorRegistry

from service import __version__
from service.auth.keys import KeyRing
from service.auth.quotas import Quotas
from service.engine.engine import Engine, warm_up_pictures
from service.engine.threads import helper_pool, permitted_threads
from service.errors import StartupError
from service.http.body_timeout import BodyTimeout
from service.http.cors import add_cors
from service.http.head_options import HeadAndOptions
from service.http.middleware import RequestContext
from service.http.open_inference import routes as open_inference
from service.http.openapi import complete_document
from service.http.problems import install_handlers
from service.http.routes import jobs, operations, page, styles, transform
from service.http.state import State
from service.http.static import EXAMPLE, read_pages
from service.http.target import RequestTarget
from service.images.sandbox.pool import Decoder, decoder_of
from service.memory import give_back
from service.models.learning.learner import Learner
from service.models.registry import Registry
from service.observability.logs import lines_lost
from service.observability.metrics import Metrics
from service.observability.tracing import Tracer
from service.pipeline.admission import Admission
from service.pipeline.cache import ResultCache
from service.pipeline.job_store import JobStore
from service.pipeline.memory_jobs import MemoryJobs
from service.pipeline.pipeline import Pipeline
from service.pipeline.rendering import Renderer
from service.pipeline.request import TransformResult
from service.pipeline.thumbnails import Thumbnails
from service.settings import PREFIX, Settings, redis_address
from service.storage.access import Access, access_from_settings

if TYPE_CHECKING:
    from service.webhooks.webhooks import Webhooks

_FILE_THREADS = 8
"""Threads of `asyncio.to_thread`: for files, checkpoints and bodies."""


def create_app(
    settings: Settings,
    registry: Registry,
    threads: int | None = None,
    tracer: Tracer | None = None,
    decoder: Decoder | None = None,
) -> FastAPI:
    """Build a service for the models of `registry`. It admits requests once its lifespan has begun.

    threads: CPU threads of all devices together; None: as many as the process may use. tracer: where spans go; None:
    nowhere. decoder: one that was started; None: it starts with the lifespan. Raises StartupError if a device that the
    settings name does not exist, or if the keys or the quota store cannot be used.
    """
    warnings.simplefilter("error", Image.DecompressionBombWarning)  # by default Pillow warns and continues
    state = _build(settings, registry, threads or permitted_threads(), tracer, decoder or decoder_of(settings))
    app = FastAPI(
        title="Impasto",
        version=__version__,
        summary="Real-time style transfer and super-resolution.",
        lifespan=_lifespan,
        docs_url=None,  # the page's router serves it, with a content security policy
        redoc_url=None,
    )
    app.state = state  # type: ignore[assignment]  # typed, in place of Starlette's namespace
    pages = [page.router, operations.probes, operations.router]
    public = [transform.router, jobs.router, *pages, open_inference.router, styles.router]
    internal = [operations.admin, operations.internal] if settings.probe_port is None else []
    for router in (*public, *internal):
        app.include_router(router)
    _add_middleware(app, state)
    install_handlers(app)
    complete_document(app)
    return app


def create_probe_app(app: FastAPI) -> FastAPI:
    """Build the app of the second port: probes, metrics and the admin routes. It uses the parts of `app`."""
    inner = FastAPI(title="Impasto, inside", docs_url=None, redoc_url=None, openapi_url=None)
    inner.state = app.state
    for router in (operations.probes, operations.internal, operations.admin):
        inner.include_router(router)
    inner.add_middleware(HeadAndOptions, router=inner.router)
    inner.add_middleware(RequestContext, metrics=app.state.metrics)
    install_handlers(inner)
    return inner


def _build(settings: Settings, registry: Registry, threads: int, tracer: Tracer | None, decoder: Decoder) -> State:
    metrics = Metrics(CollectorRegistry())
    keys, quotas = KeyRing(settings, metrics), Quotas(settings, metrics)
    engine = Engine(settings, metrics, threads)
    admission = Admission(
        settings.max_requests,
        settings.max_pixels_in_flight,
        engine.scheduler.seconds_before,
        metrics.requests_in_flight,
        share=settings.max_key_share if keys.required else 1.0,
    )
    renderer = Renderer(engine, settings.codec_threads)
    decoder.report_to(metrics)
    cache: ResultCache[TransformResult] = ResultCache(settings.cache_bytes, metrics)
    pipeline = Pipeline(
        settings,
        registry,
        admission,
        decoder,
        renderer,
        engine.costs,
        cache,
        metrics,
        made_by=lambda: (__version__, engine.precision, engine.runtime, settings.max_whole_pixels),
    )
    pages = read_pages()
    access = access_from_settings(settings)
    jobs_store = _open_jobs(settings, pipeline, access, admission, engine, renderer, metrics)
    thumbnails = Thumbnails(pipeline, registry, pages[EXAMPLE].body)
    learner = _learner(settings, registry, engine, metrics)
    state = State(
        settings,
        registry,
        metrics,
        keys,
        quotas,
        engine,
        admission,
        decoder,
        renderer,
        pipeline,
        jobs_store,
        thumbnails,
        pages,
        access,
        learner,
        tracer,
        _open_webhooks(settings, jobs_store, metrics),
    )
    metrics.log_lines_lost.set_function(lines_lost)
    metrics.ready.set_function(lambda: float(state.ready))
    return state


def _open_jobs(
    settings: Settings,
    pipeline: Pipeline,
    access: Access,
    admission: Admission,
    engine: Engine,
    renderer: Renderer,
    metrics: Metrics,
) -> JobStore:
    """Return the store that IMPASTO_JOB_STORE names. Raises StartupError."""
    address, ahead = redis_address(settings.job_store, "JOB_STORE"), engine.scheduler.tasks_before
    if address is None and settings.job_results:
        raise StartupError(
            f"{PREFIX}JOB_RESULTS={settings.job_results}: expected {PREFIX}JOB_STORE=redis://HOST:PORT/DB"
        )
    if address is None:
        return MemoryJobs(settings, pipeline.transform, access.write, ahead, metrics)
    from service.pipeline.shared_jobs import SharedJobs  # noqa: PLC0415  # needs an optional extra

    queued = renderer.seconds_queued
    return SharedJobs(settings, address, pipeline, access.write, lambda: admission.is_open, queued, ahead, metrics)


def _open_webhooks(settings: Settings, jobs_store: JobStore, metrics: Metrics) -> "Webhooks | None":
    """Return what delivers webhooks, if the operator allows hosts. Raises StartupError."""
    if not settings.webhook_hosts:
        return None
    try:
        from service.webhooks.webhooks import Webhooks  # noqa: PLC0415  # needs an optional extra
    except ImportError as error:
        needed = "needs the package standardwebhooks: pip install 'impasto[webhooks]'"
        raise StartupError(f"{PREFIX}WEBHOOK_HOSTS: {needed}") from error
    return Webhooks(settings, jobs_store.outbox, metrics)


def _learner(settings: Settings, registry: Registry, engine: Engine, metrics: Metrics) -> Learner | None:
    """Return what learns styles, if there is a folder for them."""
    if settings.learned is None:
        return None
    return Learner(settings, settings.learned, registry, lambda: not engine.scheduler.idle, metrics)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Start the parts one after the other, admit requests, and stop the parts at the end."""
    state: State = app.state  # type: ignore[assignment]  # set by create_app
    settings, admission = state.settings, state.admission

    state.decoder.start()
    asyncio.get_running_loop().set_default_executor(helper_pool(_FILE_THREADS, "files"))
    await state.engine.start(on_fatal=admission.close)
    _set_build_info(state)
    await state.registry.start(partial(state.renderer.warm, pictures=warm_up_pictures()), state.metrics)
    give_back()  # memory of the warm-up
    watching = asyncio.create_task(state.registry.watch(settings.watch_seconds)) if settings.watch_seconds else None
    learning = asyncio.create_task(state.learner.run()) if state.learner is not None else None
    admission.open()
    state.jobs.start()
    if state.webhooks is not None:
        state.webhooks.start()
    try:
        yield
    finally:  # an error or a cancellation also stops the parts: a thread left over would abort the process
        admission.close()
        if watching is not None:
            watching.cancel()
        if learning is not None and state.learner is not None:
            learning.cancel()
            await state.learner.stop()
        if state.webhooks is not None:
            await state.webhooks.stop()
        await state.jobs.stop()
        state.thumbnails.close()
        await state.engine.stop()
        state.renderer.close()
        state.pipeline.close()
        await state.quotas.close()
        state.decoder.close()
        if state.tracer is not None:
            await asyncio.to_thread(state.tracer.close)


def _add_middleware(app: FastAPI, state: State) -> None:
    """Add what surrounds the routes, the innermost first."""
    settings = state.settings
    app.add_middleware(BodyTimeout, seconds=settings.body_seconds, bytes_per_second=settings.body_bytes_per_second)
    app.add_middleware(HeadAndOptions, router=app.router)
    add_cors(app, settings.cors_origins)
    app.add_middleware(RequestContext, metrics=state.metrics, tracer=state.tracer)
    app.add_middleware(RequestTarget, root_path=settings.root_path, trusted_proxies=settings.trusted_proxies)


def _set_build_info(state: State) -> None:
    """Set the metric that does not change while the service runs."""
    devices = ",".join(map(str, state.engine.devices))
    engine = state.engine
    info = {"version": __version__, "device": devices, "precision": engine.precision, "runtime": engine.runtime}
    state.metrics.build_info.info(info)
