"""How a command ends: in one line and an exit code, whatever goes wrong that the user can mend."""

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import typer

from service.cli.backends import RefusedError
from service.cli.output_paths import PlanError
from service.errors import StartupError

FAILED, MISUSED, PORT_TAKEN = 1, 2, 4
"""Exit codes: some pictures failed; nothing could be begun; another process listens on the port."""


@contextmanager
def plainly() -> Iterator[None]:
    """Turn what the user can mend into a line on standard error and exit code 2."""
    try:
        yield
    except (StartupError, PlanError, RefusedError) as error:
        typer.echo(f"impasto: {error}", err=True)
        sys.exit(MISUSED)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except BrokenPipeError:  # whoever read standard output has had enough; nor is there any use in flushing it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except OSError as error:
        if error.strerror is None:
            raise
        typer.echo(f"impasto: {error.filename or 'a file'}: {error.strerror}", err=True)
        sys.exit(MISUSED)


def end_on_signals() -> None:
    """Let SIGINT end the process without a traceback until another handler is there, as SIGTERM does."""
    signal.signal(signal.SIGINT, lambda *_: os._exit(128 + signal.SIGINT))


def run_until_signal(work: Coroutine[Any, Any, None]) -> int | None:
    """Run `work` to its end, or to the first SIGINT or SIGTERM, which cancels it: the signal, or None."""
    caught: list[int] = []

    async def cancellable() -> None:
        task = asyncio.ensure_future(work)

        def cancel(number: int) -> None:
            caught.append(number)
            loop.remove_signal_handler(number)  # the next one ends the process at once
            task.cancel()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, cancel, number)
        await task

    try:
        asyncio.run(cancellable())
    except asyncio.CancelledError:
        if not caught:
            raise
    return caught[0] if caught else None
