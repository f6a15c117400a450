"""`fit`: turn a painting into a style of a trunk."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from nets.trunk import FOLDER
from trainer.commands.fit_reporter import FitReporter
from trainer.commands.options import Json, Vgg16, say_json, styles_of
from trainer.config import FamilyRecipe, FamilyStyle, read_recipe
from trainer.data import read_painting
from trainer.errors import TrainerError
from trainer.evaluation import style_check
from trainer.evaluation.style_distance import STYLE_PX
from trainer.loop.runs import git_revision
from trainer.objective.loss_network import load_loss_network
from trainer.publish import publish_style
from trainer.recipes import style_family, style_fit

_FAMILY = Path(__file__).parents[1] / "configs" / "family.toml"


def fit(
    painting: Annotated[Path, typer.Argument(metavar="PAINTING", exists=True, dir_okay=False, help="The style image.")],
    name: Annotated[str, typer.Option("--name", help="Name of the new style: lower-case letters, digits, _ and -.")],
    minutes: Annotated[float, typer.Option("--minutes", min=0.01, help="Training time in minutes.")] = 5.0,
    to: Annotated[Path, typer.Option("--to", help="Model repository with the trunk; receives the style.")] = Path(
        "checkpoints"
    ),
    trunk: Annotated[str, typer.Option("--trunk", help="Trunk of the new style.")] = "atelier",
    config: Annotated[Path, typer.Option("--config", help="Family recipe with the loss weights.")] = _FAMILY,
    data: Annotated[
        list[Path] | None, typer.Option("--data", help="Folder of photographs, repeatable; default: bundled images.")
    ] = None,
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
    events: Annotated[bool, typer.Option("--events", help="Print progress and result as JSON lines.")] = False,
    as_json: Json = False,
) -> None:
    """Fit a painting to a trunk in minutes: only the scales and shifts of its norms are trained."""
    style = new_style(name, painting, style_px, license_, source)
    if (to / "stylize" / f"{name}.safetensors").exists() and not force:
        raise TrainerError(f"--name {name}: {to / 'stylize'} has a style of that name; choose another, or pass --force")
    recipe, styles = read_recipe(config, FamilyRecipe), styles_of(to, trunk)
    image = read_painting(painting, STYLE_PX)
    style_check.refuse_flat(image)
    loss_network = load_loss_network(vgg16)
    settings = style_fit.Fit(recipe.loss, 60 * minutes, data or [], state)
    with FitReporter(name, 60 * minutes, preview, events, quiet=as_json) as reporter:
        fitted = style_fit.fit(styles, loss_network, style, painting, settings, reporter)
    measures = style_check.check_style(fitted.net, styles, image, loss_network) if check else None
    training = {
        "recipe": {"loss": recipe.loss.model_dump(), "fitted_from": fitted.start, "minutes": minutes},
        "iterations": fitted.iterations,
        "photographs": [str(folder.name) for folder in data or []] or "bundled",
        "git_revision": git_revision(),
    }
    metrics = {} if measures is None else asdict(measures)
    digest = style_family.digest_of_file(painting)
    path = publish_style(to, to / FOLDER / f"{trunk}.safetensors", fitted.net, style, training, digest, metrics)
    result = {"checkpoint": path, **{key: getattr(fitted, key) for key in ("start", "iterations", "first", "last")}}
    if events:
        say_json({"event": "done", **result})
    elif as_json:
        say_json(result)
    else:
        typer.echo(
            f"{path}: objective {fitted.first:.3f} -> {fitted.last:.3f} in {fitted.iterations} iterations, "
            f"from {fitted.start}"
        )


def new_style(name: str, painting: Path, style_px: int, license_: str, source: str) -> FamilyStyle:
    """The entry of a style to be fitted. Raises TrainerError for a name that no style may have."""
    try:
        return FamilyStyle(name=name, style_image=painting.name, style_px=style_px, license=license_, source=source)
    except ValidationError as error:
        raise TrainerError(f"--name {name!r}: expected lower-case letters, digits, _ and -, at most 64") from error
