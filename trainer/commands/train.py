"""`style`, `family`, `upscale` and `publish`."""

import math
import re
from pathlib import Path
from typing import Annotated

import typer

from nets.checkpoint import MODEL_NAME
from trainer.commands.options import (
    DEFAULT_WORKERS,
    Config,
    Data,
    Iterations,
    Json,
    License,
    Name,
    Origin,
    Parent,
    RunFolder,
    StyleImage,
    Vgg16,
    Workers,
    find_parent,
    find_recipe,
    find_style_image,
    say_json,
    styles_of,
)
from trainer.config import FamilyRecipe, Recipe, StyleRecipe, UpscaleRecipe, read_recipe
from trainer.data import count_skipped
from trainer.errors import TrainerError
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
    name: Name = None,
    license: License = None,  # noqa: A002  # the option's name, as in the card
    source: Origin = None,
    run: RunFolder = None,
    parent: Parent = None,
    iterations: Iterations = None,
    workers: Workers = DEFAULT_WORKERS,
    as_json: Json = False,
) -> None:
    """Train a style. The same command resumes an interrupted run."""
    config = find_recipe(config)
    recipe = _with_options(read_recipe(config, StyleRecipe), parent, iterations)
    recipe = _of_style(recipe, style_image, name, license, source)
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
        Path | None, typer.Option("--parent", help="Model repository with the trunk and styles to start from.")
    ] = None,
    iterations: Iterations = None,
    minutes: Annotated[
        float, typer.Option("--minutes", min=0.0, help="Stop after this long, and publish what there is.")
    ] = math.inf,
    workers: Workers = DEFAULT_WORKERS,
    as_json: Json = False,
) -> None:
    """Train a trunk and all styles of a recipe together. The same command resumes an interrupted run."""
    config = find_recipe(config)
    recipe = _with_options(read_recipe(config, FamilyRecipe), parent, iterations)
    directory = Run(run or Path("runs") / recipe.name)
    images = {s.name: find_style_image(s.style_image, config) for s in recipe.styles if s.style_image}
    reference, known = styles_of(Path(recipe.parent), recipe.name) if recipe.parent else ("", {})
    recipe = recipe.model_copy(update={"parent": reference})
    inputs = style_family.Inputs(data, images, load_loss_network(vgg16), known, workers)
    made = style_family.train(recipe, inputs, directory, 60 * minutes)
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
        Path | None, typer.Option("--validation", help="Folder of test images; logs their PSNR during training.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Train an upscaler. The same command resumes an interrupted run."""
    recipe = _with_options(read_recipe(find_recipe(config), UpscaleRecipe), parent, iterations)
    directory = Run(run or Path("runs") / recipe.name)
    with joined() as processes:
        weights = load_vgg16(vgg16) if recipe.loss.feature_weight or recipe.loss.lpips_weight else None
        inputs = super_resolution.Inputs(data, weights, processes, workers, validation)
        _say_done(processes, super_resolution.train(recipe, inputs, directory), directory, as_json)


def publish(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run directory.")],
    to: Annotated[Path, typer.Option("--to", help="Model repository that the service reads.")] = Path("checkpoints"),
    force: Annotated[bool, typer.Option("--force", help="Replace checkpoints of another origin too.")] = False,
    as_json: Json = False,
) -> None:
    """Verify the checkpoint of a run and copy it to a model repository.

    An existing checkpoint that was trained on other images stays, unless --force is given.
    """
    published = publish_checkpoints(Run(run), to, force)
    if as_json:
        say_json({"published": published})
        return
    for path in published:
        typer.echo(f"published {path}")
    typer.echo(
        "A service of this folder takes it within seconds if it watches the folder, as it does on loopback by default "
        "(IMPASTO_WATCH_SECONDS), or after POST /models/reload. Otherwise restart it."
    )


def _with_options(recipe: Recipe, parent: Path | None, iterations: int | None) -> Recipe:
    chosen = str(parent) if parent else find_parent(recipe.parent)
    changes = {"parent": chosen, "iterations": iterations or recipe.iterations}
    return recipe.model_copy(update=changes)


def _of_style(
    recipe: StyleRecipe, image: Path | None, name: str | None, license_: str | None, source: str | None
) -> StyleRecipe:
    """Return the recipe with these options.

    For an image of the user's own, the recipe's name, licence and source say nothing: they describe another image. The
    name then comes from the file. Raises TrainerError for an invalid name.
    """
    own = image is not None and image.name != recipe.style_image
    if image is not None and name is None and own:
        name = re.sub(r"[^a-z0-9_-]+", "_", image.stem.lower()).strip("_-")
    changes = {
        "name": name if name is not None else recipe.name,
        "license": license_ if license_ is not None else "" if own else recipe.license,
        "source": source if source is not None else "" if own else recipe.source,
    }
    if not re.fullmatch(MODEL_NAME, changes["name"]):
        raise TrainerError(f"--name {changes['name']!r}: expected lower-case letters, digits, _ and -, at most 64")
    return recipe.model_copy(update=changes)


def _say_done(processes: Processes, checkpoint: Path, run: Run, as_json: bool) -> None:
    if not processes.main:
        return
    if as_json:
        facts = {"run": run.directory, "checkpoint": checkpoint, "skipped_photographs": count_skipped(run.skipped)}
        say_json({**facts, "metrics": run.metrics()[-1:]})
        return
    if skipped := count_skipped(run.skipped):
        typer.echo(f"{skipped} photographs could not be read and were skipped: see {run.skipped}")
    typer.echo(f"checkpoint {checkpoint}")
    typer.echo(f"try it:     IMPASTO_CHECKPOINTS={run.directory / 'checkpoints'} make serve")
    typer.echo(f"publish it: python -m trainer publish {run.directory} --to checkpoints")
