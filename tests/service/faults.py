"""A network that goes wrong when its picture asks for it, and a service with it in the place of upscale/x2."""

import sys
import threading
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from service.app import create_app
from service.cli.server import run
from service.errors import StartupError
from service.memory import few_arenas
from service.models.registry import load_registry, registry_from_settings
from service.observability.logs import configure_logs
from service.settings import Settings, read_settings
from tests.conftest import running

PLAIN, BUG, NOT_A_NUMBER, NO_MEMORY, LOST, WAIT = 0, 10, 20, 30, 40, 50


class FaultyNet(nn.Module):
    """Doubles a picture by nearest neighbour. What its top left pixel's red says goes wrong:

    BUG: an error for the whole batch. NOT_A_NUMBER: that item's answer. NO_MEMORY: an out of memory error for more than
    `most_pixels` in a pass. LOST: the error of a device that is gone. WAIT: nothing, once `go` is set.
    """

    def __init__(self, most_pixels: int = 0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.most_pixels = most_pixels
        self.go, self.waiting = threading.Event(), threading.Semaphore(0)
        self.passes: list[list[int]] = []

    def forward(self, x: Tensor) -> Tensor:
        codes = (x[:, 0, 0, 0] * 255).round().int().tolist()
        self.passes.append(codes)
        if BUG in codes:
            raise RuntimeError("a bug in the network")
        if LOST in codes:
            raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
        if NO_MEMORY in codes and len(x) * x.shape[2] * x.shape[3] > self.most_pixels:
            raise torch.OutOfMemoryError("out of memory")
        if WAIT in codes:
            self.waiting.release()
            assert self.go.wait(60)
        answer = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
        answer[[i for i, code in enumerate(codes) if code == NOT_A_NUMBER]] = torch.nan
        return answer


def faulty_picture(code: int, height: int = 20, width: int = 30) -> np.ndarray:
    """uint8 (H, W, 3), whose every pixel's red is the code, so that each of its tiles has it."""
    pixels = np.random.default_rng(code).integers(0, 256, (height, width, 3), np.uint8)
    pixels[..., 0] = code
    return pixels


def put_faulty(registry, net: FaultyNet) -> None:
    """Serve the network as upscale/x2."""
    registry.loaded.add(replace(registry.models["upscale/x2"], net=net.eval()))


@contextmanager
def faulty_service(checkpoints: Path, most_pixels: int = 0, **settings: object):
    """(address, network, app) of a running service whose upscale/x2 is a FaultyNet.

    One pass at a time: while the network waits in one, all else is in the queue.
    """
    given = {"device": "cpu", "precision": "fp32", "max_batch_items": 4, "pictures_at_once": 1} | settings
    app = create_app(Settings(checkpoints=checkpoints, **given), load_registry(checkpoints))
    net = FaultyNet(most_pixels)
    with running(app) as address:
        put_faulty(app.state.registry, net)
        try:
            yield address, net, app
        finally:
            net.go.set()


def main() -> None:
    """The command line's service with a FaultyNet: `python -m tests.service.faults`, IMPASTO_* as usual."""
    few_arenas()
    try:
        settings = read_settings()
        configure_logs(settings.log_level, settings.log_format)
        registry = registry_from_settings(settings)
    except StartupError as error:
        sys.exit(str(error))
    put_faulty(registry, FaultyNet())
    run(settings, registry)


if __name__ == "__main__":
    main()
