"""Builds the parts of the service and joins them. Nothing else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from nets.pixels import Picture
from service.admission import Admission
from service.batcher import Batcher
from service.errors import install_handlers
from service.metrics import Metrics
from service.middleware import RequestContext
from service.pipeline import BatchKey, Pipeline
from service.registry import Registry
from service.routes import operations, transform
from service.settings import Settings
from service.worker import Worker


class _QueueMetrics:
    """Tells the metrics what the queue does."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def queued(self, key: BatchKey, jobs: int, pixels: int) -> None:
        self._metrics.queue_jobs.labels(key[0]).inc(jobs)
        self._metrics.queue_pixels.labels(key[0]).inc(pixels)

    def batched(self, items: int, pixels: int) -> None:
        self._metrics.batch_items.observe(items)
        self._metrics.batch_pixels.observe(pixels)


def create_app(settings: Settings, registry: Registry) -> FastAPI:
    """A service over the models of `registry`; it takes pictures once its lifespan has begun.

    Raises StartupError where the settings ask for a device that is not there.
    """
    metrics = Metrics(CollectorRegistry())
    worker = Worker(registry, settings.device, settings.precision)

    async def run(key: BatchKey, pictures: list[Picture]) -> list[Picture | Exception]:
        return list(await worker.run(registry.models[key[0]], pictures))

    max_items = settings.max_batch_items or (1 if worker.device.type == "cpu" else 8)
    batcher: Batcher[BatchKey, Picture, Picture] = Batcher(run, max_items, _QueueMetrics(metrics))
    admission = Admission(settings.max_requests, metrics.requests_in_flight)
    pipeline = Pipeline(settings, registry, admission, batcher, metrics)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await worker.start()
        batcher.start()
        _describe(metrics, registry, worker)
        app.state.warm = admission.open = True
        yield
        admission.open = False
        await batcher.stop()
        worker.stop()
        pipeline.close()

    app = FastAPI(
        title="Impasto",
        version=version("impasto"),
        summary="Real-time style transfer and super-resolution.",
        lifespan=lifespan,
    )
    app.state.settings, app.state.registry, app.state.metrics = settings, registry, metrics
    app.state.admission, app.state.batcher, app.state.pipeline, app.state.warm = admission, batcher, pipeline, False
    app.include_router(transform.router)
    app.include_router(operations.router)
    app.add_middleware(RequestContext, metrics=metrics)
    install_handlers(app)
    return app


def _describe(metrics: Metrics, registry: Registry, worker: Worker) -> None:
    """Set the metrics that do not change while the service runs."""
    metrics.build_info.info(
        {"version": version("impasto"), "device": str(worker.device), "precision": worker.precision}
    )
    metrics.models_refused.set(len(registry.refused))
    for model in registry.models.values():
        metrics.model_info.labels(model.key).info({"version": model.version})
        metrics.model_load_duration.labels(model.key).set(model.load_seconds)
