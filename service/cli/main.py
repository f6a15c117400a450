"""The command line: `impasto COMMAND`; see `service/cli/__init__.py`."""

from typing import Annotated

import typer

from service import __version__
from service.cli import bench, keys, learn, listing, pictures, serve
from service.cli.bulk.command import bulk

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"impasto {__version__}")
        raise typer.Exit


@app.callback()
def impasto(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Run image-to-image networks over pictures, here or on a server, and serve them.

    Every setting of the engine is also an IMPASTO_* environment variable.
    """


commands = serve.serve, pictures.stylize, pictures.upscale, bulk, learn.learn, listing.models, bench.bench
for command in commands:
    app.command()(command)
app.add_typer(keys.keys, name="keys")


def main() -> None:
    """Run the command line."""
    app(prog_name="impasto")
