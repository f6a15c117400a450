"""`fit`: turn a painting into a style of a trunk."""

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from trainer.commands.fit_reporter import FitReporter
from trainer.commands.options import FAMILY, FamilyConfig, Json, OptionalData, Trunk, Vgg16, say_json, styles_of
from trainer.config import FamilyRecipe, FamilyStyle, read_recipe
from trainer.errors import TrainerError
from trainer.recipes.style_learning import LearningOrder, StyleLearner


def fit(
    painting: Annotated[Path, typer.Argument(metavar="PAINTING", exists=True, dir_okay=False, help="The style image.")],
    name: Annotated[str, typer.Option("--name", help="Name of the new style: lower-case letters, digits, _ and -.")],
    minutes: Annotated[float, typer.Option("--minutes", min=0.01, help="Training time in minutes.")] = 5.0,
    to: Annotated[Path, typer.Option("--to", help="Model repository with the trunk; receives the style.")] = Path(
        "checkpoints"
    ),
    trunk: Trunk = "atelier",
    config: FamilyConfig = FAMILY,
    data: OptionalData = None,
    style_px: Annotated[
        int, typer.Option("--style-size", min=16, help="Shorter side of the style image, in pixels.")
    ] = 512,
    license_: Annotated[str, typer.Option("--license", help="Licence of the style, for its card.")] = "",
    source: Annotated[str, typer.Option("--source", help="Painter, title and year, for its card.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace a style of this name.")] = False,
    check: Annotated[
        bool,
        typer.Option("--check/--no-check", help="Publish only a style that is like the painting and shows no fault."),
    ] = True,
    preview: Annotated[
        Path | None,
        typer.Option("--preview", help="Picture of a photograph in the style so far, updated as it learns."),
    ] = None,
    state: Annotated[
        Path | None, typer.Option("--state", help="File for the state: the same command goes on from it.")
    ] = None,
    vgg16: Vgg16 = None,
    as_json: Json = False,
) -> None:
    """Fit a painting to a trunk in minutes: only the scales and shifts of its norms are trained."""
    if (to / "stylize" / f"{name}.safetensors").exists() and not force:
        raise TrainerError(f"--name {name}: {to / 'stylize'} has a style of that name; choose another, or pass --force")
    style = new_style(name, painting, style_px, license_, source)
    order = LearningOrder(style, painting, minutes, data or [], state, check)
    learner = StyleLearner(to, trunk, read_recipe(config, FamilyRecipe).loss, styles_of(to, trunk)[1], vgg16)
    with FitReporter(name, preview, quiet=as_json) as reporter:
        path, fitted = learner.learn(order, to, reporter)
    if as_json:
        facts = {key: getattr(fitted, key) for key in ("start", "iterations", "first", "last")}
        say_json({"checkpoint": path, **facts})
        return
    typer.echo(
        f"{path}: objective {fitted.first:.3f} -> {fitted.last:.3f} in {fitted.iterations} iterations, "
        f"from {fitted.start}"
    )


def new_style(name: str, painting: Path, style_px: int, license_: str, source: str) -> FamilyStyle:
    """Make the entry of a new style. Raises TrainerError for an invalid name."""
    try:
        return FamilyStyle(name=name, style_image=painting.name, style_px=style_px, license=license_, source=source)
    except ValidationError as error:
        raise TrainerError(f"--name {name!r}: expected lower-case letters, digits, _ and -, at most 64") from error
