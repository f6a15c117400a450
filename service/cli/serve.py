"""`impasto serve`, the same as `python -m service`."""

from typing import Annotated

import typer

from service.cli import options


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
    checkpoints: options.Checkpoints = None,
    device: options.Device = None,
    precision: options.Precision = None,
) -> None:
    """Start the service. Every setting is also an IMPASTO_* environment variable: docs/operations.md."""
    from service.cli.server import serve_or_exit  # noqa: PLC0415  # torch takes seconds, and other commands need none

    given = {"host": host, "port": port, "checkpoints": checkpoints, "device": device, "precision": precision}
    serve_or_exit(**{name: value for name, value in given.items() if value is not None})
