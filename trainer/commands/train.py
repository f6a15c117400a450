"""`style`, `family`, `upscale` and `publish`."""

from pathlib import Path
from typing import Annotated

import typer

from trainer.commands.options import (
    DEFAULT_WORKERS,
    Config,
    Data,
    Iterations,
    Json,
    Parent,
    RunFolder,
    StyleImage,
    Vgg16,
    Workers,
    find_style_image,
    say_json,
    styles_of,
)
from trainer.config import FamilyRecipe, Recipe, StyleRecipe, UpscaleRecipe, read_recipe
from trainer.data import count_skipped
from trainer.loop.distributed import Processes, joined
from trainer.loop.runs import Run
from trainer.objective.loss_network import load_loss_network, load_vgg16
from trainer.publish import publish as publish_checkpoints
from trainer.recipes import style_family, style_transfer, super_resolution


def style(
    config: Config,
    data: Data,
    vgg16: Vgg16 = None,
    style_image: StyleImage = None,
    run: RunFolder = None,
    parent: Parent = None,
    iterations: Iterations = None,
    workers: Workers = DEFAULT_WORKERS,
    as_json: Json = False,
) -> None:
    """Train a style; run it again to go on where it stopped."""
    recipe = _with_options(read_recipe(config, StyleRecipe), parent, iterations)
    directory = Run(run or Path("runs") / recipe.name)
    with joined() as processes:
        inputs = style_transfer.Inputs(
            data,
            style_image or (find_style_image(recipe.style_image, config) if recipe.paints else None),
            load_loss_network(vgg16) if recipe.paints else None,
            processes,
            workers,
        )
        _say_done(processes, style_transfer.train(recipe, inputs, directory), directory, as_json)


def family(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG", help="A TOML recipe, such as trainer/configs/family.toml.")
    ],
    data: Data,
    vgg16: Vgg16 = None,
    run: RunFolder = None,
    parent: Annotated[
        Path | None, typer.Option("--parent", help="Model repository whose trunk and styles to start from.")
    ] = None,
    iterations: Iterations = None,
    workers: Workers = DEFAULT_WORKERS,
    as_json: Json = False,
) -> None:
    """Train a trunk and all the styles of a recipe together; run it again to resume."""
    recipe = _with_options(read_recipe(config, FamilyRecipe), parent, iterations)
    directory = Run(run or Path("runs") / recipe.name)
    images = {s.name: find_style_image(s.style_image, config) for s in recipe.styles if s.style_image}
    known = styles_of(Path(recipe.parent), recipe.name) if recipe.parent else {}
    inputs = style_family.Inputs(data, images, load_loss_network(vgg16), known, workers)
    made = style_family.train(recipe, inputs, directory)
    if as_json:
        say_json({"run": directory.directory, "checkpoints": made, "metrics": directory.metrics()[-1:]})
        return
    for path in made:
        typer.echo(f"checkpoint {path}")


def upscale(
    config: Config,
    data: Data,
    vgg16: Vgg16 = None,
    run: RunFolder = None,
    parent: Parent = None,
    iterations: Iterations = None,
    workers: Workers = DEFAULT_WORKERS,
    validation: Annotated[
        Path | None, typer.Option("--validation", help="Folder of test images whose PSNR is logged along the way.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Train an upscaling factor; run it again to go on where it stopped."""
    recipe = _with_options(read_recipe(config, UpscaleRecipe), parent, iterations)
    directory = Run(run or Path("runs") / recipe.name)
    with joined() as processes:
        weights = load_vgg16(vgg16) if recipe.loss.feature_weight or recipe.loss.lpips_weight else None
        inputs = super_resolution.Inputs(data, weights, processes, workers, validation)
        _say_done(processes, super_resolution.train(recipe, inputs, directory), directory, as_json)


def publish(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run directory.")],
    to: Annotated[Path, typer.Option("--to", help="The model repository that the service reads.")] = Path(
        "checkpoints"
    ),
    as_json: Json = False,
) -> None:
    """Copy a run's checkpoint, verified, to where the service looks for it."""
    published = publish_checkpoints(Run(run), to)
    if as_json:
        say_json({"published": published})
        return
    for path in published:
        typer.echo(f"published {path}")


def _with_options(recipe: Recipe, parent: Path | None, iterations: int | None) -> Recipe:
    changes = {"parent": str(parent) if parent else recipe.parent, "iterations": iterations or recipe.iterations}
    return recipe.model_copy(update=changes)


def _say_done(processes: Processes, checkpoint: Path, run: Run, as_json: bool) -> None:
    if not processes.main:
        return
    if as_json:
        facts = {"run": run.directory, "checkpoint": checkpoint, "skipped_photographs": count_skipped(run.skipped)}
        say_json({**facts, "metrics": run.metrics()[-1:]})
        return
    if skipped := count_skipped(run.skipped):
        typer.echo(f"{skipped} photographs could not be read and were skipped: {run.skipped} says which and why")
    typer.echo(f"checkpoint {checkpoint}")
    typer.echo(f"try it:    IMPASTO_CHECKPOINTS={run.directory / 'checkpoints'} make serve")
    typer.echo(f"bundle it: python -m trainer publish {run.directory} --to checkpoints")
