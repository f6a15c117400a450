"""The results of a comparison: four tables, each stored as a JSON file.

Each part can be measured again separately, and a report is written from the stored parts.
"""

import os
import platform
import time
from pathlib import Path
from typing import Literal, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from trainer.errors import TrainerError


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class Machine(_Part):
    """The machine that measured a part."""

    processor: str
    threads: int
    torch_version: str
    date: str


class UpscalingRow(_Part):
    """The mean over one benchmark; psnr in dB and ssim on Y; parameters of the network, 0 for bicubic."""

    benchmark: str
    factor: int
    method: str
    parameters: int
    psnr: float
    ssim: float
    lpips: float | None
    relu2_2: float | None


class Upscaling(_Part):
    """The table of super-resolution."""

    machine: Machine
    rows: list[UpscalingRow]


class Duel(_Part):
    """One style on one photograph: the objective of the network, and of Gatys after each iteration.

    equal_at: iterations after which Gatys is at or below the network; None if it never is.
    """

    style: str
    photograph: str
    network: float
    terms: dict[str, float]
    gatys: list[float]
    start: Literal["noise", "content"]
    equal_at: int | None


class Styles(_Part):
    """The paper's figure of objectives, for every style."""

    machine: Machine
    side_px: int
    precision: str
    duels: list[Duel]


class SpeedRow(_Part):
    """Seconds at one size: one pass of the network, and one iteration of Gatys, both in `precision`."""

    side_px: int
    precision: str
    network_seconds: float
    gatys_seconds_per_iteration: float
    timed_iterations: int

    def ratio(self, iterations: int) -> float:
        """Return how many times faster the network is than this many iterations."""
        return iterations * self.gatys_seconds_per_iteration / self.network_seconds


class Speed(_Part):
    """The paper's table of speed."""

    machine: Machine
    style: str
    rows: list[SpeedRow]


class LikenessRow(_Part):
    """One method in one style, the mean over the photographs; see `style_distance.StyleDistance`.

    method: "network" for the checkpoint, else a rival's name.
    """

    style: str
    method: str
    style_distance: dict[str, float]
    content_distance: dict[str, float]
    contrast: float
    grid2: float
    grid4: float


class Likeness(_Part):
    """Distances to paintings and photographs, for every style and rival; the photographs' longer side in pixels."""

    machine: Machine
    longest_px: int
    photographs: list[str]
    rows: list[LikenessRow]


AnyPart = Upscaling | Styles | Speed | Likeness
Part = TypeVar("Part", Upscaling, Styles, Speed, Likeness)


def write_part(folder: Path, part: AnyPart) -> Path:
    """Write FOLDER/upscaling.json, styles.json, speed.json or likeness.json, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{type(part).__name__.lower()}.json"
    path.write_text(part.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return path


def read_part(folder: Path, kind: type[Part]) -> Part | None:
    """Read a part; None if it was not measured. Raises TrainerError if it cannot be read."""
    path = folder / f"{kind.__name__.lower()}.json"
    if not path.exists():
        return None
    try:
        return kind.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise TrainerError(
            f"{path}: {error.errors()[0]['loc']}: {error.errors()[0]['msg']}; measure it anew"
        ) from error


def this_machine() -> Machine:
    """Describe processor, threads and library of this process."""
    names = [line.split(":", 1)[1].strip() for line in _processor_lines() if line.startswith("model name")]
    return Machine(
        processor=names[0] if names else platform.processor() or platform.machine(),
        threads=torch.get_num_threads(),
        torch_version=torch.__version__,
        date=time.strftime("%Y-%m-%d"),
    )


def _processor_lines() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text(encoding="utf-8").splitlines() if os.access(path, os.R_OK) else []
