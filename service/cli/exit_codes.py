"""The end of a command: one line and an exit code for every error that the user can correct."""

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import typer

from service.cli.output_paths import PlanError
from service.cli.refused import RefusedError
from service.errors import StartupError

FAILED, MISUSED, PORT_TAKEN = 1, 2, 4
"""Exit codes: some images failed; nothing was started; another process uses the port."""


@contextmanager
def plainly() -> Iterator[None]:
    """Turn an error that the user can correct into a line on standard error and exit code 2."""
    try:
        yield
    except (StartupError, PlanError, RefusedError) as error:
        typer.echo(f"impasto: {error}", err=True)
        sys.exit(MISUSED)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except BrokenPipeError:  # the reader of standard output has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except OSError as error:
        if error.strerror is None:
            raise
        typer.echo(f"impasto: {error.filename or 'a file'}: {error.strerror}", err=True)
        sys.exit(MISUSED)


@contextmanager
def ending_on(*numbers: signal.Signals) -> Iterator[None]:
    """Let these signals end the process at once, without a traceback, until another handler is set.

    os._exit is safe at any moment, even while torch is being imported, because it does not interrupt native code.
    """
    before = [signal.signal(number, lambda caught, _: os._exit(128 + caught)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def run_until_signal(work: Coroutine[Any, Any, None]) -> int | None:
    """Run `work` to its end, or to the first SIGINT or SIGTERM, which cancels it. Return the signal, or None.

    A second signal ends the process at once.
    """
    caught: list[int] = []

    async def cancellable() -> None:
        task = asyncio.ensure_future(work)

        def cancel(number: int) -> None:
            if caught:
                os._exit(128 + number)
            caught.append(number)
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
