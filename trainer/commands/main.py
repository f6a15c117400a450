"""The application behind `impasto-train`: its commands, and how errors end them."""

import signal
import sys

import typer

from nets.checkpoint import CheckpointError
from trainer.commands import compare, fit, learn, measure, train
from trainer.errors import StoppedError, TrainerError

_HELP = """Train, evaluate and publish networks for Impasto.

`torchrun --nproc-per-node N -m trainer style ...` shares a training between N processes.
"""

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help=_HELP)
for command in (
    train.style,
    train.family,
    fit.fit,
    learn.learn,
    train.upscale,
    train.publish,
    measure.evaluate,
    measure.gatys,
    compare.compare,
    compare.report,
):
    app.command()(command)


def run() -> None:
    """Run the command that the arguments name. An error that the user can correct is one line and exit code 1."""
    try:
        app(prog_name="impasto-train", standalone_mode=True)
    except StoppedError as stop:
        typer.echo(f"impasto-train: {stop}", err=True)
        sys.exit(128 + stop.number)
    except KeyboardInterrupt:
        typer.echo("impasto-train: interrupted; the same command goes on from the last saved state", err=True)
        sys.exit(128 + signal.SIGINT)
    except (TrainerError, CheckpointError) as error:
        typer.echo(f"impasto-train: {error}", err=True)
        sys.exit(1)
    except OSError as error:  # a full disk, a folder that may not be written
        if error.filename is None and error.strerror is None:
            raise
        typer.echo(f"impasto-train: {error.filename or 'a file'}: {error.strerror}", err=True)
        sys.exit(1)
