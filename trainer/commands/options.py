"""Options that several commands share, and the lookup of style images."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from nets.bundled import bundled_checkpoints
from nets.checkpoint import Checkpoint, load
from nets.style_trunk import StyleTrunkNet
from trainer.data import SUFFIXES
from trainer.errors import TrainerError

STYLES_VARIABLE = "IMPASTO_STYLES"
CONFIGS = Path(__file__).parents[1] / "configs"
FAMILY = CONFIGS / "family.toml"

Config = Annotated[
    Path,
    typer.Argument(metavar="RECIPE", help="A TOML file, or the name of a bundled recipe: engraving, x4, paper/style."),
]
Data = Annotated[list[Path], typer.Option("--data", help="Folder of photographs; repeatable.")]
OptionalData = Annotated[
    list[Path] | None, typer.Option("--data", help="Folder of photographs, repeatable; default: bundled images.")
]
Trunk = Annotated[str, typer.Option("--trunk", help="Trunk of the new style.")]
FamilyConfig = Annotated[Path, typer.Option("--config", help="Family recipe with the loss weights.")]
Vgg16 = Annotated[
    Path | None, typer.Option("--vgg16", help="File with VGG16 weights; default: IMPASTO_VGG16, then torchvision.")
]
# torchrun has its own option --run, so there is a second name.
RunFolder = Annotated[
    Path | None,
    typer.Option("--run", "--run-dir", help="Run directory; default: runs/NAME. An existing run is resumed."),
]
Parent = Annotated[Path | None, typer.Option("--parent", help="Checkpoint to start from; overrides the recipe.")]
Iterations = Annotated[
    int | None, typer.Option("--iterations", min=1, help="Number of iterations; overrides the recipe.")
]
Workers = Annotated[int, typer.Option("--workers", min=0, help="Number of processes that decode photographs.")]
StyleImage = Annotated[
    Path | None, typer.Option("--style", exists=True, dir_okay=False, help="Style image; overrides the recipe.")
]
Name = Annotated[
    str | None,
    typer.Option("--name", help="Name of the style; default: the file name of --style, otherwise that of the recipe."),
]
License = Annotated[str | None, typer.Option("--license", help="Licence of the style image, for the card.")]
Origin = Annotated[str | None, typer.Option("--source", help="Painter, title and year, for the card.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


DEFAULT_WORKERS = max(1, min(8, (os.cpu_count() or 1) // 2))
"""One process per two cores, at most eight, so that decoding overlaps with training without slowing it."""


def find_recipe(given: Path) -> Path:
    """Return the file of a recipe: `given` itself, or the bundled recipe of that name. Raises TrainerError."""
    if given.is_file():
        return given
    bundled = {str(path.relative_to(CONFIGS).with_suffix("")): path for path in sorted(CONFIGS.rglob("*.toml"))}
    try:
        return bundled[str(given)]
    except KeyError:
        raise TrainerError(f"{given}: expected a file, or the name of a bundled recipe: {', '.join(bundled)}") from None


def find_parent(parent: str) -> str:
    """Return the path of the parent of a recipe. Below `checkpoints/`, a missing file means a bundled one."""
    parts = Path(parent).parts
    if not parent or Path(parent).exists() or parts[0] != "checkpoints":
        return parent
    return str(bundled_checkpoints().joinpath(*parts[1:]))


def find_style_image(name: str, config: Path) -> Path:
    """Return the path of a style image beside the recipe or in IMPASTO_STYLES. Raises TrainerError."""
    folders = _style_folders([config.parent])
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    looked = ", ".join(str(folder) for folder in folders)
    raise TrainerError(
        f"style image {name!r} is not in {looked}; pass --style FILE, or set {STYLES_VARIABLE} to its folder"
    )


def style_image_of(checkpoint: Checkpoint, config_folder: Path) -> Path:
    """Return the style image of a checkpoint, found by digest in `config_folder` or IMPASTO_STYLES."""
    wanted = checkpoint.card.training.get("style_image_sha256")
    folders = _style_folders([config_folder])
    for folder in folders:
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() in SUFFIXES and hashlib.sha256(path.read_bytes()).hexdigest() == wanted:
                return path
    looked = ", ".join(str(folder) for folder in folders)
    raise TrainerError(
        f"the style image of {checkpoint.card.name} ({checkpoint.card.source}) is not in {looked}; "
        f"set {STYLES_VARIABLE} to its folder"
    )


def _style_folders(first: Sequence[Path]) -> list[Path]:
    named = os.environ.get(STYLES_VARIABLE)
    return [*first, *([Path(named)] if named else [])]


def say_json(document: Mapping[str, Any]) -> None:
    """Print a document as one line of JSON. Numbers that are not finite become null."""
    text = json.dumps(document, default=str, ensure_ascii=False)
    typer.echo(json.dumps(json.loads(text, parse_constant=lambda _: None), ensure_ascii=False))


def styles_of(repository: Path, trunk: str) -> tuple[str, dict[str, StyleTrunkNet]]:
    """Return the reference of a trunk in a model repository ("NAME@sha256:..."), and its styles by name.

    Raises TrainerError if there are none.
    """
    found, reference = {}, ""
    for path in sorted((repository / "stylize").glob("*.safetensors")):
        checkpoint = load(path)
        if isinstance(checkpoint.net, StyleTrunkNet) and (checkpoint.card.trunk or "").startswith(f"{trunk}@"):
            found[path.stem], reference = checkpoint.net, checkpoint.card.trunk or ""
    if not found:
        raise TrainerError(f"parent {repository}: no style of trunk {trunk} in {repository / 'stylize'}")
    return reference, found
