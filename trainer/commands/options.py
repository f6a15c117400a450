"""The options that several commands share, and the finding of style images."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from nets.checkpoint import Checkpoint, load
from nets.style_trunk import StyleTrunkNet
from trainer.data import SUFFIXES
from trainer.errors import TrainerError

STYLES_VARIABLE = "IMPASTO_STYLES"

Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="A TOML recipe, such as trainer/configs/mosaic.toml.")]
Data = Annotated[list[Path], typer.Option("--data", help="Folder of photographs; may be given more than once.")]
Vgg16 = Annotated[Path | None, typer.Option("--vgg16", help="VGG16 weights; default: IMPASTO_VGG16, then torchvision.")]
# torchrun takes --run, wherever it stands, for an option of its own: hence the second name.
RunFolder = Annotated[
    Path | None, typer.Option("--run", "--run-dir", help="Run directory; default: runs/NAME. Resumed if it exists.")
]
Parent = Annotated[Path | None, typer.Option("--parent", help="Checkpoint to start from, instead of the recipe's.")]
Iterations = Annotated[int | None, typer.Option("--iterations", min=1, help="Instead of the recipe's.")]
Workers = Annotated[int, typer.Option("--workers", min=0, help="Processes that decode photographs ahead.")]
StyleImage = Annotated[
    Path | None, typer.Option("--style", exists=True, dir_okay=False, help="Style image, instead of the recipe's.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output, instead of lines for people.")]


DEFAULT_WORKERS = max(1, min(8, (os.cpu_count() or 1) // 2))
"""One process for every two cores, at most eight: decoding overlaps with computing and does not starve it."""


def find_style_image(name: str, config: Path) -> Path:
    """A style image by the recipe's name for it: beside the config, or in IMPASTO_STYLES. Raises TrainerError."""
    folders = _style_folders([config.parent])
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    looked = ", ".join(str(folder) for folder in folders)
    raise TrainerError(
        f"style image {name!r} is not in {looked}: pass --style FILE, or set {STYLES_VARIABLE} to its folder"
    )


def style_image_of(checkpoint: Checkpoint, config_folder: Path) -> Path:
    """The style image that a checkpoint was trained on, by its digest: in `config_folder` or in IMPASTO_STYLES."""
    wanted = checkpoint.card.training.get("style_image_sha256")
    folders = _style_folders([config_folder])
    for folder in folders:
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() in SUFFIXES and hashlib.sha256(path.read_bytes()).hexdigest() == wanted:
                return path
    looked = ", ".join(str(folder) for folder in folders)
    raise TrainerError(
        f"the style image of {checkpoint.card.name} ({checkpoint.card.source}) is not in {looked}: "
        f"set {STYLES_VARIABLE} to its folder"
    )


def _style_folders(first: Sequence[Path]) -> list[Path]:
    named = os.environ.get(STYLES_VARIABLE)
    return [*first, *([Path(named)] if named else [])]


def say_json(document: Mapping[str, Any]) -> None:
    """Print a document for programs, on one line; figures that are not finite are null, as JSON has none such."""
    text = json.dumps(document, default=str, ensure_ascii=False)
    typer.echo(json.dumps(json.loads(text, parse_constant=lambda _: None), ensure_ascii=False))


def styles_of(repository: Path, trunk: str) -> dict[str, StyleTrunkNet]:
    """The styles of a trunk in a model repository, by name. Raises TrainerError where there are none."""
    found = {}
    for path in sorted((repository / "stylize").glob("*.safetensors")):
        checkpoint = load(path)
        if isinstance(checkpoint.net, StyleTrunkNet) and (checkpoint.card.trunk or "").startswith(f"{trunk}@"):
            found[path.stem] = checkpoint.net
    if not found:
        raise TrainerError(f"parent {repository}: no style of trunk {trunk} in {repository / 'stylize'}")
    return found
