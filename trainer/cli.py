"""The command line: `python -m trainer {style,upscale,evaluate,publish}`, also installed as `impasto-train`."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from nets.checkpoint import CheckpointError
from trainer.config import Recipe, StyleRecipe, UpscaleRecipe, read_recipe
from trainer.errors import TrainerError
from trainer.evaluation import evaluate as evaluate_checkpoint
from trainer.loss_network import load_loss_network
from trainer.precision import choose_device
from trainer.publish import publish as publish_checkpoints
from trainer.recipes import style_transfer, super_resolution
from trainer.runs import Run

STYLES_VARIABLE = "IMPASTO_STYLES"

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)

Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="A TOML recipe, such as trainer/configs/mosaic.toml.")]
Data = Annotated[list[Path], typer.Option("--data", help="Folder of photographs; may be given more than once.")]
Vgg16 = Annotated[Path | None, typer.Option("--vgg16", help="VGG16 weights; default: IMPASTO_VGG16, then torchvision.")]
RunFolder = Annotated[
    Path | None, typer.Option("--run", help="Run directory; default: runs/NAME. Resumed if it exists.")
]
Parent = Annotated[Path | None, typer.Option("--parent", help="Checkpoint to start from, instead of the recipe's.")]
Iterations = Annotated[int | None, typer.Option("--iterations", min=1, help="Instead of the recipe's.")]
Workers = Annotated[int, typer.Option("--workers", min=0, help="Processes that decode photographs.")]


@app.command()
def style(
    config: Config,
    data: Data,
    vgg16: Vgg16 = None,
    style_image: Annotated[
        Path | None, typer.Option("--style", exists=True, dir_okay=False, help="Style image, instead of the recipe's.")
    ] = None,
    run: RunFolder = None,
    parent: Parent = None,
    iterations: Iterations = None,
    workers: Workers = 0,
) -> None:
    """Train a style; run it again to go on where it stopped."""
    recipe = _with_options(read_recipe(config, StyleRecipe), parent, iterations)
    directory = run or Path("runs") / recipe.name
    inputs = style_transfer.Inputs(
        data,
        style_image or find_style_image(recipe.style_image, config),
        load_loss_network(vgg16),
        choose_device(),
        workers,
    )
    _say_done(style_transfer.train(recipe, inputs, Run(directory)), directory)


@app.command()
def upscale(
    config: Config,
    data: Data,
    vgg16: Vgg16 = None,
    run: RunFolder = None,
    parent: Parent = None,
    iterations: Iterations = None,
    workers: Workers = 0,
) -> None:
    """Train an upscaling factor; run it again to go on where it stopped."""
    recipe = _with_options(read_recipe(config, UpscaleRecipe), parent, iterations)
    directory = run or Path("runs") / recipe.name
    loss_network = load_loss_network(vgg16) if recipe.loss.feature_weight else None
    inputs = super_resolution.Inputs(data, loss_network, choose_device(), workers)
    _say_done(super_resolution.train(recipe, inputs, Run(directory)), directory)


@app.command()
def evaluate(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="An upscaling checkpoint.")],
    data: Annotated[Path, typer.Option("--data", help="Folder of test images.")],
) -> None:
    """Print PSNR and SSIM on Y, beside bicubic, for each image of a folder and their mean."""
    typer.echo(f"{'image':24} {'bicubic dB':>10} {'SSIM':>7} {'net dB':>8} {'SSIM':>7}")
    for row in evaluate_checkpoint(checkpoint, data):
        typer.echo(
            f"{row.image[:24]:24} {row.bicubic_psnr:10.2f} {row.bicubic_ssim:7.4f} {row.psnr:8.2f} {row.ssim:7.4f}"
        )


@app.command()
def publish(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run directory.")],
    to: Annotated[Path, typer.Option("--to", help="The model repository that the service reads.")] = Path(
        "checkpoints"
    ),
) -> None:
    """Copy a run's checkpoint, verified, to where the service looks for it."""
    for path in publish_checkpoints(Run(run), to):
        typer.echo(f"published {path}")


def find_style_image(name: str, config: Path) -> Path:
    """A style image by the recipe's name for it: beside the config, or in IMPASTO_STYLES. Raises TrainerError."""
    folders = [config.parent, *(Path(folder) for folder in [os.environ.get(STYLES_VARIABLE)] if folder)]
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    looked = ", ".join(str(folder) for folder in folders)
    raise TrainerError(
        f"style image {name!r} is not in {looked}: pass --style FILE, or set {STYLES_VARIABLE} to its folder"
    )


def _with_options(recipe: Recipe, parent: Path | None, iterations: int | None) -> Recipe:
    changes = {"parent": str(parent) if parent else recipe.parent, "iterations": iterations or recipe.iterations}
    return recipe.model_copy(update=changes)


def _say_done(checkpoint: Path, run: Path) -> None:
    typer.echo(f"checkpoint {checkpoint}")
    typer.echo(f"try it:    IMPASTO_CHECKPOINTS={run / 'checkpoints'} make serve")
    typer.echo(f"bundle it: python -m trainer publish {run} --to checkpoints")


def main() -> None:
    """Run the command line; what the user can mend is one line on standard error and exit code 1."""
    try:
        app()
    except (TrainerError, CheckpointError) as error:
        typer.echo(f"impasto-train: {error}", err=True)
        sys.exit(1)
