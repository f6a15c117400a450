"""The devices' side of the service, as one part: scheduler, workers, costs and limits."""

import asyncio
from collections.abc import Callable
from functools import partial

from torch import nn

from nets.architecture import Task
from nets.banded.run import pattern_picture
from nets.pixels import Picture
from nets.style_transfer import StyleTransferConfig, StyleTransferNet
from nets.super_resolution import SuperResolutionConfig, SuperResolutionNet
from service.engine.cost import CostModel
from service.engine.device import (
    choose_devices,
    choose_precision,
    memory_bytes,
    refuse_precision,
    worthwhile_batch_pixels,
)
from service.engine.scheduler import Scheduler
from service.engine.task import Limits
from service.engine.threads import SharedThreads, in_a_thread_of_its_own, leave_threads
from service.engine.worker import Precision, Worker
from service.models.model import Model
from service.observability.metrics import Metrics
from service.settings import Settings

_MOST_ITEMS = 8
_MOST_AT_ONCE = 8
_ANY_PIXELS = 2**21
WARM_UP_SIDES_PX = (64, 192)
"""Two sizes tell what a pass costs at least, and what a pixel adds."""


class Engine:
    """One worker per device, and its companions, before one queue. `fatal` is why a device is lost, once one is."""

    def __init__(self, settings: Settings, metrics: Metrics, threads: int) -> None:
        """Choose the devices; raises StartupError where there is none such, or none of that precision.

        threads: CPU threads of the convolutions, shared by the devices.
        """
        self._settings = settings
        self.devices = choose_devices(settings.device)
        self._threads = max(1, threads // len(self.devices))  # a pool for each worker, but no more threads than CPUs
        self._on_lent = metrics.passes_beside.inc
        self._companions = self._companions_of(settings.pictures_at_once)
        refuse_precision(settings.precision, self.devices[0])
        self.precision: Precision = "fp32"
        self.fatal: str | None = None
        self.costs = CostModel()
        self.limits = Limits(settings.max_whole_pixels, settings.tile_pixels, metrics.out_of_memory.inc)
        self._batch_pixels: dict[Task, int] = {}
        items = settings.max_batch_items or _MOST_ITEMS
        observer, lanes = _QueueMetrics(metrics), 1 + self._companions
        self.scheduler = Scheduler(observer, self._worthwhile, items, len(self.devices), lanes)
        metrics.queue_seconds.set_function(self.scheduler.seconds_before)
        for device in self.devices:
            if device.type == "cuda":
                metrics.device_memory.labels(str(device)).set_function(partial(memory_bytes, device))
        self._workers: list[Worker] = []

    async def start(self, on_fatal: Callable[[], None]) -> None:
        """Settle the precision and what a batch is worth; begin to compute. on_fatal: called on the event loop."""
        await asyncio.to_thread(in_a_thread_of_its_own, self._threads, self._measure)
        loop = asyncio.get_running_loop()

        def lost(reason: str) -> None:
            self.fatal = self.fatal or reason
            loop.call_soon_threadsafe(on_fatal)

        for device in self.devices:
            threads = SharedThreads(self._threads, self._on_lent)
            for companion in (False, *[True] * self._companions):
                parts = (self.scheduler, self.costs, self.limits, lost)
                self._workers.append(Worker(device, self.precision, threads, *parts, companion=companion))
        for worker in self._workers:
            worker.start()
        leave_threads()

    @property
    def alive(self) -> bool:
        """Whether every device computes."""
        return bool(self._workers) and all(worker.alive for worker in self._workers)

    async def stop(self) -> None:
        """Finish what is queued, then end the threads."""
        self.scheduler.close()
        for worker in self._workers:
            await asyncio.to_thread(worker.join)

    def _companions_of(self, pictures_at_once: int) -> int:
        """How many more than one picture a device computes while others wait: on a CPU, each on a thread of its own."""
        if self.devices[0].type != "cpu":
            return 0
        return min(pictures_at_once or _MOST_AT_ONCE, self._threads) - 1

    def _worthwhile(self, model: Model) -> int:
        return min(self._batch_pixels.get(model.card.task, 0), self.limits.batch_pixels)

    def _measure(self) -> None:
        """On networks of the bundled ones' shape, whatever is served: it is the device that is measured."""
        nets: dict[Task, nn.Module] = {
            "stylize": StyleTransferNet(StyleTransferConfig(width=16)).eval(),
            "upscale": SuperResolutionNet(SuperResolutionConfig(width=48, residual_blocks=6)).eval(),
        }
        device, most = self.devices[0], self._settings.max_batch_items
        self.precision = choose_precision(self._settings.precision, device)
        for task, net in nets.items():
            if most or (task == "stylize" and device.type == "cpu"):  # instance norm in a batch gains nothing there
                self._batch_pixels[task] = _ANY_PIXELS if most > 1 else 0
            else:
                self._batch_pixels[task] = worthwhile_batch_pixels(net, device, self.precision, _MOST_ITEMS)


def warm_up_pictures() -> list[Picture]:
    """Pictures in code, of WARM_UP_SIDES_PX."""
    return [pattern_picture(side, side) for side in WARM_UP_SIDES_PX]


class _QueueMetrics:
    """Tells the metrics what the queue does."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def queued(self, key: str, jobs: int, pixels: int) -> None:
        self._metrics.queue_jobs.labels(key).inc(jobs)
        self._metrics.queue_pixels.labels(key).inc(pixels)

    def batched(self, items: int, pixels: int) -> None:
        self._metrics.forward_passes.inc()
        self._metrics.batch_items.observe(items)
        self._metrics.batch_pixels.observe(pixels)

    def dropped(self, reason: str) -> None:
        self._metrics.cancelled.labels(reason).inc()
