"""The command line: `python -m trainer COMMAND`, also installed as `impasto-train`.

`torchrun --nproc-per-node N -m trainer style ...` shares a training between N processes.
"""

import sys

import typer

from nets.checkpoint import CheckpointError
from trainer.commands import measure, train
from trainer.errors import TrainerError

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
for command in (
    train.style,
    train.family,
    train.upscale,
    train.publish,
    measure.evaluate,
    measure.gatys,
    measure.compare,
    measure.report,
):
    app.command()(command)


def main() -> None:
    """Run the command line; what the user can mend is one line on standard error and exit code 1."""
    try:
        app()
    except (TrainerError, CheckpointError) as error:
        typer.echo(f"impasto-train: {error}", err=True)
        sys.exit(1)
    except OSError as error:  # a full disk, a folder that may not be written
        if error.filename is None and error.strerror is None:
            raise
        typer.echo(f"impasto-train: {error.filename or 'a file'}: {error.strerror}", err=True)
        sys.exit(1)
