"""The engine: the devices with their scheduler, workers, cost model and limits."""

import asyncio
from collections.abc import Callable
from functools import partial

from torch import nn

from nets.architecture import Task
from nets.banded.run import pattern_picture
from nets.pixels import Picture
from nets.style_trunk import StyleTrunkConfig, StyleTrunkNet
from nets.super_resolution import SuperResolutionConfig, SuperResolutionNet
from service.engine.cost import CostModel
from service.engine.device import (
    check_precision,
    choose_devices,
    choose_precision,
    measure_batch_pixels,
    memory_bytes,
)
from service.engine.precision import Precision
from service.engine.runtime import check_runtime, open_runtime
from service.engine.scheduler import Scheduler
from service.engine.threads import ThreadBudget, run_in_new_thread, use_one_thread
from service.engine.tiling_plan import TilingLimits
from service.engine.worker import Worker
from service.models.model import Model
from service.observability.metrics import Metrics
from service.settings import Settings

_MAX_ITEMS = 8
_MAX_WORKERS = 8
_MAX_BATCH_PIXELS = 2**21
WARM_UP_SIDES_PX = (64, 128)
"""Two sizes, so that the cost model learns the constant cost of a pass and the cost of a pixel."""


class Engine:
    """A worker per device, with side workers on a CPU, and one scheduler. `fatal`: why a device is lost, else None."""

    def __init__(self, settings: Settings, metrics: Metrics, threads: int) -> None:
        """Choose the devices. Raises StartupError for a missing device or an unsupported precision.

        threads: CPU threads for convolutions, shared by all devices.
        """
        self._settings = settings
        self.devices = choose_devices(settings.device)
        self._threads = max(1, threads // len(self.devices))  # no more threads than CPUs in all pools
        self._on_taken = metrics.passes_beside.inc
        self._side_workers = self._count_side_workers(settings.pictures_at_once)
        check_precision(settings.precision, self.devices[0])
        check_runtime(settings, self.devices)
        self.runtime, self._metrics = settings.runtime, metrics
        self.precision: Precision = "fp32"
        self.fatal: str | None = None
        self.costs = CostModel()
        self.limits = TilingLimits(settings.max_whole_pixels, settings.tile_pixels, metrics.out_of_memory.inc)
        self._batch_pixels: dict[Task, int] = {}
        items, workers = settings.max_batch_items or _MAX_ITEMS, 1 + self._side_workers
        self.scheduler = Scheduler(_QueueMetrics(metrics), self._max_batch_pixels, items, len(self.devices), workers)
        metrics.queue_seconds.set_function(self.scheduler.seconds_before)
        for device in self.devices:
            if device.type == "cuda":
                metrics.device_memory.labels(str(device)).set_function(partial(memory_bytes, device))
        self._workers: list[Worker] = []

    async def start(self, on_fatal: Callable[[], None]) -> None:
        """Measure the precision and the batch size, and start the workers. on_fatal: called on the event loop."""
        await asyncio.to_thread(run_in_new_thread, self._threads, self._measure)
        loop = asyncio.get_running_loop()

        def lost(reason: str) -> None:
            self.fatal = self.fatal or reason
            loop.call_soon_threadsafe(on_fatal)

        for device in self.devices:
            threads = ThreadBudget(self._threads, self._on_taken)
            runtime = open_runtime(self._settings, self.precision, self._threads, self._metrics)
            for is_side_worker in (False, *[True] * self._side_workers):
                parts = (self.scheduler, self.costs, self.limits, lost)
                worker = Worker(device, self.precision, threads, *parts, is_side_worker=is_side_worker, runtime=runtime)
                self._workers.append(worker)
        for worker in self._workers:
            worker.start()
        use_one_thread()

    @property
    def alive(self) -> bool:
        """Whether all workers run."""
        return bool(self._workers) and all(worker.alive for worker in self._workers)

    async def stop(self) -> None:
        """Finish the queued tasks, then end the workers."""
        self.scheduler.close()
        for worker in self._workers:
            await asyncio.to_thread(worker.join)

    def _count_side_workers(self, pictures_at_once: int) -> int:
        """Return the number of side workers per device. Only a CPU has them, each on one thread; OpenVINO takes all."""
        if self.devices[0].type != "cpu" or self._settings.runtime != "torch":
            return 0
        return min(pictures_at_once or _MAX_WORKERS, self._threads) - 1

    def _max_batch_pixels(self, model: Model) -> int:
        return min(self._batch_pixels.get(model.card.task, 0), self.limits.batch_pixels)

    def _measure(self) -> None:
        """Choose the precision, and measure a GPU with networks of the size of the bundled ones, whatever is served.

        On a CPU, an item of a batch takes as long as one alone.
        """
        device, max_items = self.devices[0], self._settings.max_batch_items
        self.precision = choose_precision(self._settings.precision, device)
        if max_items or device.type == "cpu":
            pixels = _MAX_BATCH_PIXELS if max_items > 1 else 0
            self._batch_pixels = {"stylize": pixels, "upscale": pixels}
            return
        nets: dict[Task, nn.Module] = {
            "stylize": StyleTrunkNet(StyleTrunkConfig()).eval(),
            "upscale": SuperResolutionNet(SuperResolutionConfig(width=48, residual_blocks=6, body="span")).eval(),
        }
        for task, net in nets.items():
            self._batch_pixels[task] = measure_batch_pixels(net, device, self.precision, _MAX_ITEMS)


def warm_up_pictures() -> list[Picture]:
    """Return a synthetic picture of each size in WARM_UP_SIDES_PX."""
    return [pattern_picture(side, side) for side in WARM_UP_SIDES_PX]


class _QueueMetrics:
    """Counts the events of the queue in the metrics."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def queue_changed(self, label: str, tasks: int, pixels: int) -> None:
        self._metrics.queue_jobs.labels(label).inc(tasks)
        self._metrics.queue_pixels.labels(label).inc(pixels)

    def batch_started(self, items: int, pixels: int) -> None:
        self._metrics.forward_passes.inc()
        self._metrics.batch_items.observe(items)
        self._metrics.batch_pixels.observe(pixels)

    def task_dropped(self, reason: str) -> None:
        self._metrics.cancelled.labels(reason).inc()
