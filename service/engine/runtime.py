"""The runtime that computes networks: torch computes all of them, and OpenVINO, if chosen, styles of trunks."""

from collections.abc import Sequence
from typing import Protocol

import torch

from nets.banded.bands import Steps
from nets.pixels import Picture
from service.engine.precision import Precision
from service.errors import StartupError
from service.models.model import Model
from service.observability.metrics import Metrics
from service.settings import PREFIX, Settings


class Runtime(Protocol):
    """A runtime beside torch. One worker has it to itself."""

    def steps(self, models: Sequence[Model], pictures: list[Picture]) -> Steps[list[Picture | Exception]] | None:
        """Return the computation of a batch, one model for each picture; None if torch must compute it."""

    def release_memory(self) -> None:
        """Free what is kept between pictures."""


def check_runtime(settings: Settings, devices: list[torch.device]) -> None:
    """Raise StartupError if the runtime of the settings cannot be used."""
    if settings.runtime == "torch":
        return
    name = f"{PREFIX}RUNTIME={settings.runtime}"
    if devices[0].type != "cpu":
        raise StartupError(f"{name}: computes on a CPU, not on {devices[0]}; expected {PREFIX}DEVICE=cpu, or torch")
    if settings.pictures_at_once > 1:
        at_once = f"{PREFIX}PICTURES_AT_ONCE={settings.pictures_at_once}"
        raise StartupError(f"{at_once}: with {name}, one picture has all threads; expected 0 or 1")
    try:
        import nets.compiled.trunk  # noqa: F401, PLC0415  # needs an optional extra
    except ImportError as error:
        raise StartupError(f"{name}: needs the package openvino: pip install 'impasto[openvino]'") from error


def open_runtime(settings: Settings, precision: Precision, threads: int, metrics: Metrics) -> Runtime | None:
    """Return the runtime of the settings for one worker with so many threads; None for torch."""
    if settings.runtime == "torch":
        return None
    from service.engine.openvino_runtime import OpenVinoRuntime  # noqa: PLC0415  # needs an optional extra

    return OpenVinoRuntime(precision, threads, metrics)
