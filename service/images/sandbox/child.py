"""A decoder process: a file that crashes a decoder ends this process only. `pool` starts it."""

import faulthandler
import os
import resource
import signal
import socket
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress

from PIL import Image

from service.errors import ServiceError
from service.images.decode import decode, measure
from service.images.sandbox.ipc import MessageError, receive, send
from service.images.types import Decoded, Header
from service.memory import give_back

_LARGE_BYTES = 16 * 2**20
_WORK: dict[str, Callable[..., Header | Decoded]] = {"measure": measure, "decode": decode}


def main(descriptor: int, memory_bytes: int, most_bytes: int) -> None:
    """Handle one message after another until the service closes the socket.

    descriptor: the socket. memory_bytes: limit of the address space. most_bytes: limit of a message.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the service, which finishes accepted requests
    faulthandler.enable(_quiet())
    with suppress(ValueError, OSError):  # macOS has no such limit
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would store a client's image on disk
    warnings.simplefilter("ignore")
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    with socket.socket(fileno=descriptor) as other:
        send(other, "ready")
        while True:
            try:
                (work, arguments), data = receive(other, most_bytes)
                size = _answer(other, work, arguments, bytes(data))
            except (MessageError, OSError):
                return
            if size > _LARGE_BYTES:
                give_back()


def _quiet() -> int:
    """Discard standard error, where libraries report on files. Return a descriptor of the log, for crash reports."""
    log = os.dup(sys.stderr.fileno())
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stderr.fileno())
    os.close(nowhere)
    return log


def _answer(other: socket.socket, work: str, arguments: tuple[object, ...], data: bytes) -> int:
    """Send (True, result) or (False, error). Return the approximate number of bytes that were used."""
    try:
        value = _WORK[work](data, *arguments)
    except ServiceError as error:
        send(other, (False, (type(error).__name__, error.detail, error.headers, error.facts)))
        return len(data)
    send(other, (True, value))
    return len(data) + (sum(frame.pixels.nbytes for frame in value.frames) if isinstance(value, Decoded) else 0)
