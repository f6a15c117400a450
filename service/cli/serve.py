"""`impasto serve`, the same as `python -m service`."""

import faulthandler
import signal
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from service import __version__
from service.cli import engine_options
from service.cli.exit_codes import MISUSED, PORT_TAKEN, ending_on
from service.cli.sockets import PortTakenError, bind_all, is_loopback, refuse_public_without_keys
from service.errors import StartupError
from service.images.sandbox.pool import decoder_of
from service.memory import few_arenas
from service.observability.logs import configure_logs, flush_logs
from service.settings import Settings, read_settings

_WATCH_SECONDS = 5.0


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
    checkpoints: engine_options.Checkpoints = None,
    device: engine_options.Device = None,
    precision: engine_options.Precision = None,
) -> None:
    """Start the service. Every setting is also an IMPASTO_* environment variable: docs/operations.md."""
    given = {"host": host, "port": port, "checkpoints": checkpoints, "device": device, "precision": precision}
    serve_or_exit(**{name: value for name, value in given.items() if value is not None})


def serve_or_exit(**overrides: object) -> None:
    """Serve until SIGTERM or SIGINT.

    Exit with one line: code 2 for a wrong setting or no usable checkpoint, code 4 for a port that is taken. Both are
    found before torch is loaded.
    """
    began = time.monotonic()
    try:
        with ending_on(signal.SIGINT):
            _serve(began, **overrides)
    except (StartupError, PortTakenError) as error:
        flush_logs()  # the reason is the last line
        typer.echo(f"impasto: {error}", err=True)
        sys.exit(PORT_TAKEN if isinstance(error, PortTakenError) else MISUSED)


def _serve(began: float, **overrides: object) -> None:
    few_arenas()
    settings = read_settings(**overrides)
    faulthandler.enable()  # a crash prints the stack of every thread
    configure_logs(settings.log_level, settings.log_format)
    refuse_public_without_keys(settings)
    _refuse_missing(settings.checkpoints)
    sockets = bind_all(settings)
    _say_loading(settings)
    decoder = decoder_of(settings)
    try:
        decoder.start()  # on another core, while this one imports torch
        from service.cli import server  # noqa: PLC0415  # torch takes seconds

        server.serve(_watching(settings), sockets, began, decoder)
    finally:
        decoder.close()


def _watching(settings: Settings) -> Settings:
    """Watch for changed checkpoints if the service is local, unless the setting says otherwise."""
    if "watch_seconds" in settings.model_fields_set or not is_loopback(settings.host):
        return settings
    return settings.model_copy(update={"watch_seconds": _WATCH_SECONDS})


def _refuse_missing(checkpoints: Path) -> None:
    if not checkpoints.is_dir():
        raise StartupError(f"IMPASTO_CHECKPOINTS={checkpoints}: no such folder")


def _say_loading(settings: Settings) -> None:
    if sys.stderr.isatty():
        count = len(list(settings.checkpoints.glob("*/*.safetensors")))
        typer.echo(f"Impasto {__version__}: loading {count} networks from {settings.checkpoints} ...", err=True)
