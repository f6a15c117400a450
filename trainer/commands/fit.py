"""`fit`: turn a painting into a style of a trunk."""

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from tqdm import tqdm

from nets.trunk import FOLDER
from trainer.commands.options import Json, Vgg16, say_json, styles_of
from trainer.config import FamilyRecipe, FamilyStyle, read_recipe
from trainer.errors import TrainerError
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
    vgg16: Vgg16 = None,
    as_json: Json = False,
) -> None:
    """Fit a painting to a trunk in minutes: only the scales and shifts of its norms are trained."""
    style = new_style(name, painting, style_px, license_, source)
    if (to / "stylize" / f"{name}.safetensors").exists() and not force:
        raise TrainerError(f"--name {name}: {to / 'stylize'} has a style of that name; choose another, or pass --force")
    recipe = read_recipe(config, FamilyRecipe)
    settings = style_fit.Fit(recipe.loss, 60 * minutes, data or [])
    with tqdm(total=100, unit="%", desc=name, dynamic_ncols=True, disable=as_json) as bar:

        def say(done: float, objective: float) -> None:
            bar.update(int(100 * done) - bar.n)
            bar.set_postfix(objective=f"{objective:.3f}")

        fitted = style_fit.fit(styles_of(to, trunk), load_loss_network(vgg16), style, painting, settings, say)
    training = {
        "recipe": {"loss": recipe.loss.model_dump(), "fitted_from": fitted.start, "minutes": minutes},
        "iterations": fitted.iterations,
        "photographs": [str(folder.name) for folder in data or []] or "bundled",
        "git_revision": git_revision(),
    }
    digest = style_family.digest_of_file(painting)
    path = publish_style(to, to / FOLDER / f"{trunk}.safetensors", fitted.net, style, training, digest)
    if as_json:
        say_json(
            {"checkpoint": path, **{key: getattr(fitted, key) for key in ("start", "iterations", "first", "last")}}
        )
        return
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
