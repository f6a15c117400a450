"""`evaluate` and `gatys`: measure one checkpoint, and the baseline."""

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
from trainer.data import read_style_image
from trainer.evaluation import gatys as baseline
from trainer.evaluation.evaluate import enlarger, score_style, score_upscaling
from trainer.evaluation.metrics import bicubic
from trainer.evaluation.style_distance import CONTENT_LAYERS, STYLE_LAYERS
from trainer.objective.loss_network import load_loss_network, load_vgg16
from trainer.objective.perceptual_distance import PerceptualDistance
from trainer.objective.style_objective import StyleObjective

_CONFIGS = Path(__file__).parents[1] / "configs"


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
    / "engraving.toml",
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
