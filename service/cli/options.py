"""Options that several commands share. Parameters have their HTTP names."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import typer
from pydantic_core import PydanticCustomError

from impasto.address import KEY_VARIABLE, SERVER_VARIABLE
from nets.bundled import default_checkpoints
from service.pipeline.parameters import parse_factor


def _names(context: typer.Context, task: str) -> Iterator[str]:
    """Yield the file names of checkpoints for completion, without reading the files."""
    folder = context.params.get("checkpoints") or default_checkpoints()
    yield from sorted(path.stem for path in (Path(folder) / task).glob("[!.]*.safetensors"))


def complete_style(context: typer.Context, incomplete: str) -> list[str]:
    """Return the styles that begin with `incomplete`."""
    return [name for name in _names(context, "stylize") if name.startswith(incomplete)]


def complete_model(context: typer.Context, incomplete: str) -> list[str]:
    """Return the models that begin with `incomplete`, as "stylize/mosaic"."""
    names = [f"{task}/{name}" for task in ("stylize", "upscale") for name in _names(context, task)]
    return [name for name in names if name.startswith(incomplete)]


def parsed_factor(text: str) -> str:
    """Return a factor in its shortest form: "2.50" -> "2.5", and "max". Raises BadParameter."""
    try:
        factor = parse_factor(text)
    except PydanticCustomError as error:
        raise typer.BadParameter(f"{text!r} is not {error.context['expected'] if error.context else 'one'}.") from error
    return factor if isinstance(factor, str) else f"{factor:g}"


Pictures = Annotated[
    list[str], typer.Argument(metavar="IN...", help="Files, folders, quoted patterns; - is standard input.")
]
Out = Annotated[
    str | None,
    typer.Option(
        "--out",
        "-o",
        metavar="OUT",
        help="A folder; for one picture a file, whose ending is its format; - is standard output.",
    ),
]
Recursive = Annotated[
    bool, typer.Option("--recursive", "-r", help="Folders in folders too; OUT gets the same folders.")
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Make outputs anew that are there; by default they are skipped.")
]
Json = Annotated[bool, typer.Option("--json", help="JSON on standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say only what failed.")]
Jobs = Annotated[
    int | None, typer.Option("--jobs", "-j", min=1, max=32, help="Pictures at once; default 2, with a server 4.")
]

Server = Annotated[
    str | None,
    typer.Option(
        "--server",
        envvar=SERVER_VARIABLE,
        metavar="URL",
        help="A running service; without it, this machine does the work.",
    ),
]
Key = Annotated[
    str | None,
    typer.Option(
        "--key",
        envvar=KEY_VARIABLE,
        metavar="KEY",
        help="For a server that asks for one. Safer in the environment: other users can see a command line.",
    ),
]

Format = Annotated[
    Literal["jpeg", "png", "webp", "avif", "gif", "tiff"] | None,
    typer.Option("--format", help="Of the output; default: OUT's ending, else the picture's own."),
]
Quality = Annotated[int | None, typer.Option(min=1, max=100, help="Of a JPEG, WebP or AVIF.")]
Lossless = Annotated[
    bool | None,
    typer.Option(help="A PNG, WebP or TIFF without loss; default: a WebP is like the picture's own."),
]
Profile = Annotated[
    Literal["keep", "srgb"] | None, typer.Option(help="keep: the picture's own colour profile; srgb: converted.")
]
Metadata = Annotated[
    Literal["strip", "keep"] | None, typer.Option(help="keep: EXIF, XMP and comments, as far as the format can.")
]

Style = Annotated[
    str | None,
    typer.Option(
        "--style",
        help="A style, or up to four: mosaic:0.7,wave:0.3.",
        autocompletion=complete_style,
        show_default=False,
    ),
]
StyleImage = Annotated[
    Path | None,
    typer.Option(
        metavar="PAINTING",
        exists=True,
        dir_okay=False,
        help="In place of --style: learn the style of a painting first, once; takes minutes.",
    ),
]
Strength = Annotated[float | None, typer.Option(min=0, max=1, help="0: the photograph, 1 (default): the style.")]
PreserveColor = Annotated[bool | None, typer.Option(help="Keep the photograph's colours.")]
Stroke = Annotated[str | None, typer.Option(help="auto (default), off, or 1 to 8: how many times larger strokes are.")]
MaxSide = Annotated[int | None, typer.Option(min=16, max=100_000, help="The output's longest side, at most.")]
Factor = Annotated[
    str,
    typer.Option(
        "--factor",
        callback=parsed_factor,
        metavar="FACTOR",
        help="Of each side: any number from 1 to 8; max: the largest that the limits permit.",
        show_default=False,
    ),
]
InputSource = Annotated[
    Literal["auto", "photo", "clean"] | None,
    typer.Option(help="photo: JPEG blocks and noise are removed; clean: not; auto (default): by the picture."),
]
Detail = Annotated[float | None, typer.Option(min=0, max=1, help="0 (default): faithful; 1: sharper to the eye.")]
