"""A scheduler whose passes a test computes by hand, and the observer that counts what happens."""

import numpy as np
from torch import nn

from nets.architecture import Facts
from nets.checkpoint import Card
from service.engine.scheduler import Scheduler
from service.engine.task import Task
from service.engine.tiling_plan import TilingLimits
from service.models.model import Model

TILE = 1024


def model(key, facts, trunk=None):
    """A model whose network is never run."""
    task, name = key.split("/")
    card = Card(task=task, name=name, architecture="test", config={}, weights_sha256="", golden=[], trunk=trunk)
    return Model(key, card, facts, nn.Identity(), "sha256:0", 0.0)


UPSCALER = model("upscale/x2", Facts(scale=2, halo=1, radius=1, approximable=False))
OTHER = model("upscale/x4", Facts(scale=4, halo=1, radius=1, approximable=False))
STYLE = model("stylize/mosaic", Facts(scale=1, halo=None, radius=8, approximable=True))


class Counts:
    """A queue observer that adds up what it is told."""

    def __init__(self):
        self.tasks = self.pixels = 0
        self.passes, self.dropped = [], []

    def queue_changed(self, _label, tasks, pixels):
        self.tasks += tasks
        self.pixels += pixels

    def batch_started(self, items, pixels):
        self.passes.append((items, pixels))

    def task_dropped(self, reason):
        self.dropped.append(reason)


class Harness:
    """A scheduler, the results of its tasks, and passes computed by hand: every pixel becomes 7."""

    def __init__(self, batch_pixels=10**6, devices=1, workers=1):
        self.counts, self.results = Counts(), {}
        self.scheduler = Scheduler(self.counts, lambda _model: batch_pixels, 4, devices, workers)

    def submit(self, name, height=10, width=10, model=UPSCALER, cost=0.001, **more):
        plan = TilingLimits(2000, TILE).plan(model.facts, height, width)
        picture = np.zeros((height, width, 3), np.uint8)
        task = Task(model, picture, plan, cost, lambda outcome: self.results.setdefault(name, outcome), **more)
        self.scheduler.submit(task)
        return task

    def compute(self, batch, output=None):
        for item in batch.items:
            if item.window is None:
                self.scheduler.complete_reduced_pass(item, "statistics", 0.5)
                return
        scale = batch.model.facts.scale
        outputs = [
            np.full((item.window.height * scale, item.window.width * scale, 3), 7, np.uint8) for item in batch.items
        ]
        self.scheduler.complete(batch, outputs if output is None else [output] * len(outputs), 0.5)

    def finish(self):
        """Compute until the queue is empty. Returns the number of items of each pass."""
        self.scheduler.close()
        sizes = []
        while (batch := self.scheduler.take()) is not None:
            sizes.append(len(batch.items))
            self.compute(batch)
        assert (self.counts.tasks, self.counts.pixels) == (0, 0)
        return sizes


def names(batch, **tasks):
    """Return the names of the tasks in a batch, in order."""
    return [next(name for name, task in tasks.items() if task is item.task) for item in batch.items]


def flooded(jobs=6):
    """Submit a flood, of which the main worker and a side worker have started a task each."""
    harness = Harness(batch_pixels=0)
    for i in range(jobs):
        harness.submit(f"flood {i}", cost=1.0, owner="F")
    return harness, harness.scheduler.take(), harness.scheduler.take_beside()
