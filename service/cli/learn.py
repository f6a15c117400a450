"""`impasto learn`: have a server learn a style from a painting."""

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from impasto import Client, ImpastoError, LearnedStyle
from service.cli import options
from service.cli.backends import refusal_of, refuse_no_address
from service.cli.exit_codes import plainly

_HERE = "http://127.0.0.1:8000"
_POLL_SECONDS = 1.0
_LINE_SECONDS = 5.0
"""How often a line reports progress where standard error is no terminal."""


def learn(
    painting: Annotated[
        Path, typer.Argument(metavar="PAINTING", exists=True, dir_okay=False, help="The painting, in any image format.")
    ],
    name: Annotated[str, typer.Option("--name", help="Name of the new style: lower-case letters, digits, _ and -.")],
    server: options.Server = _HERE,
    key: options.Key = None,
    minutes: Annotated[
        float | None, typer.Option("--minutes", min=0.01, help="Training time; default: the server's own.")
    ] = None,
    license_: Annotated[str, typer.Option("--license", help="Licence of the painting, for the style's card.")] = "",
    source: Annotated[str, typer.Option("--source", help="Painter, title and year, for the style's card.")] = "",
    private: Annotated[bool, typer.Option("--private", help="A style for your own key only.")] = False,
    preview: Annotated[
        Path | None, typer.Option("--preview", help="File for a photograph in the style so far, kept up to date.")
    ] = None,
) -> None:
    """Have a server learn a style from a painting, and wait until it is ready.

    Ctrl-C ends the waiting; the server goes on. The same command waits again.
    """
    with plainly():
        server = server or _HERE
        refuse_no_address(server, key)
        try:
            with Client(server, api_key=key) as client:
                client.learn(painting, name, minutes=minutes, license=license_, source=source, private=private)
                wait(client, name, preview)
        except ImpastoError as error:
            raise refusal_of(error) from error
        typer.echo(f"{name} is ready: impasto stylize photo.jpg --style {name} --server {server}")


def wait(client: Client, name: str, preview: Path | None) -> None:
    """Wait until a style is learned, and show its progress. Raises ImpastoError. preview: a file to keep up to date."""
    console, shown, told = Console(stderr=True), "", 0.0
    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(name, total=1.0)
        while not (style := client.learned(name)).over:
            bar.update(task, completed=style.progress, description=f"{name}: {_said(style)}")
            if not console.is_terminal and time.monotonic() - told > _LINE_SECONDS:
                typer.echo(f"{name}: {style.progress:.0%}, {_said(style)}", err=True)
                told = time.monotonic()
            if preview is not None and (address := style.raw.get("preview", "")) != shown:
                preview.write_bytes(client.preview(name))
                shown = address
            time.sleep(_POLL_SECONDS)


def _said(style: LearnedStyle) -> str:
    if style.state == "queued":
        return f"number {style.position} in the queue" if style.position else "queued"
    return "" if style.seconds_left is None else f"{style.seconds_left:.0f} s of training left"
