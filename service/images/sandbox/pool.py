"""The pool of decoder processes, so that a file that crashes a decoder affects its own request only.

A process decodes one image at a time. A process that ends or exceeds the time limit fails that request and is replaced.
"""

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Protocol

import service
from service import errors
from service.errors import BrokenImageError, ServiceError, UnavailableError
from service.images import decode
from service.images.sandbox import ipc
from service.images.types import Decoded, DecodeOptions, Header
from service.observability.metrics import Metrics
from service.settings import Settings

log = logging.getLogger(__name__)

_MOST_USES = 2_000
"""A process is replaced after this many images, which bounds leaks of libraries."""

_BASE_BYTES = 3 * 2**29
_BYTES_PER_PIXEL = 100
"""The most that was seen is 68: a PNG of 16 bits with alpha and a wide profile."""

_ROOT = str(Path(service.__file__).parent.parent)
_START = """
import sys
root, *numbers = sys.argv[1:]
sys.path[:0] = [root] * (root not in sys.path)
from service.images.sandbox.child import main
main(*map(int, numbers))
"""
_STARTS = 4
_START_SECONDS = 60.0
"""Limit of the start: imports take half a second, and many seconds on a busy machine."""

_FROM_OUTSIDE = {signal.SIGKILL, signal.SIGTERM}


class Decoder(Protocol):
    """The functions of `service.images.decode`, called on codec threads."""

    def measure(self, data: bytes, max_pixels: int, max_frames: int) -> Header:
        """Read the header."""

    def decode(self, data: bytes, header: Header, options: DecodeOptions) -> Decoded:
        """Decode the image."""

    def start(self) -> None:
        """Prepare for the first image. A second call does nothing."""

    def report_to(self, metrics: Metrics) -> None:
        """Count restarts in these metrics."""

    def close(self) -> None:
        """End after the last image."""


class ThreadDecoder:
    """Decodes on the calling thread. A crash ends the service."""

    measure = staticmethod(decode.measure)
    decode = staticmethod(decode.decode)

    def start(self) -> None:
        """Do nothing."""

    def report_to(self, metrics: Metrics) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class ProcessDecoder:
    """Decodes in processes that wait for images. Thread-safe; each call has a process to itself."""

    def __init__(self, settings: Settings) -> None:
        self._memory = settings.decoder_memory_bytes or _BASE_BYTES + _BYTES_PER_PIXEL * settings.max_pixels
        self._seconds, self._count = settings.decoder_seconds, settings.codec_threads
        self._metrics: Metrics | None = None
        self._idle: list[_Process] = []
        self._lock, self._started, self._closed = threading.Lock(), False, False

    def start(self) -> None:
        """Start the processes, unless they were started. They are ready after less than a second."""
        with self._lock:
            if not self._started:
                for _ in range(self._count):
                    self._idle.append(_Process(self._memory))
            self._started = True

    def report_to(self, metrics: Metrics) -> None:
        """Count restarts in these metrics."""
        self._metrics = metrics

    def measure(self, data: bytes, max_pixels: int, max_frames: int) -> Header:
        """Read the header as `decode.measure` does. Raises BrokenImageError also if the process ends."""
        header: Header = self._ask("measure", data, max_pixels, max_frames)
        return header

    def decode(self, data: bytes, header: Header, options: DecodeOptions) -> Decoded:
        """Decode as `decode.decode` does. Raises BrokenImageError also if the process ends."""
        decoded: Decoded = self._ask("decode", data, header, options)
        return decoded

    def close(self) -> None:
        """End the processes."""
        with self._lock:
            self._closed, idle = True, self._idle
            self._idle = []
        for process in idle:
            process.end()

    def _ask(self, work: str, data: bytes, *arguments: object) -> Any:
        try:
            return self._ask_one(work, data, arguments)
        except UnavailableError:  # killed from outside, which is unlikely to happen twice
            return self._ask_one(work, data, arguments)

    def _ask_one(self, work: str, data: bytes, arguments: tuple[object, ...]) -> Any:
        process = self._take()
        try:
            fine, value = process.ask(work, arguments, data, self._seconds)
        except (ipc.MessageError, OSError, TypeError, ValueError) as error:
            raise self._lost(process, work, error) from error
        self._give(process)
        if fine:
            return value
        raise _raised(*value)

    def _take(self) -> "_Process":
        """Return an idle process, or start another if all are busy: large images have their own codec thread."""
        for _ in range(_STARTS):
            with self._lock:
                process = self._idle.pop() if self._idle else None
            process = process or _Process(self._memory)
            if process.wait_until_ready():
                return process
            self._tell("idle", process.end(), None)  # it died while idle or starting, which no image caused
        raise UnavailableError("no decoder process starts; try again", {"Retry-After": "5"})

    def _give(self, process: "_Process") -> None:
        if process.uses >= _MOST_USES:
            process.end()
            process = _Process(self._memory)
        with self._lock:
            if not self._closed:
                self._idle.append(process)
                return
        process.end()

    def _lost(self, process: "_Process", work: str, error: Exception) -> ServiceError:
        """End a process that failed, and return the error for the client."""
        late = isinstance(error, TimeoutError)
        code = process.end(wait_seconds=0 if late else 1)
        outside = not late and -code in _FROM_OUTSIDE
        self._tell("timeout" if late else "killed" if outside else "crash", code, work)
        self._give(_Process(self._memory))
        if outside:
            return UnavailableError("the decoder process was killed; try again", {"Retry-After": "1"})
        why = f"took longer than {self._seconds:g} s" if late else "crashed its decoder"
        return BrokenImageError(f"the image {why}", value=why, expected="an undamaged image")

    def _tell(self, reason: str, code: int, work: str | None) -> None:
        if self._metrics is not None:
            self._metrics.decoder_restarts.labels(reason).inc()
        log.error("a decoder process is replaced", extra={"reason": reason, "exit_code": code, "work": work})


class _Process:
    """A decoder process and the service's end of the socket to it."""

    def __init__(self, memory_bytes: int) -> None:
        self._memory, self.uses, self._ready = memory_bytes, 0, False
        self._socket, theirs = socket.socketpair()
        for end in (self._socket, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**20)
        numbers = [str(number) for number in (theirs.fileno(), memory_bytes, memory_bytes)]
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _START, _ROOT, *numbers],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                process_group=0,  # no Ctrl-C; a session of its own would have its own share of the CPU (autogroup)
                env={key: value for key, value in os.environ.items() if not key.startswith(("IMPASTO_", "OTEL_"))},
            )

    def wait_until_ready(self) -> bool:
        """Return whether the process is alive, after waiting for its start."""
        if not self._ready and self._process.poll() is None:
            try:
                ipc.receive(self._socket, self._memory, _START_SECONDS)
                self._ready = True
            except (ipc.MessageError, OSError):
                return False
        return self._process.poll() is None

    def ask(self, work: str, arguments: tuple[object, ...], data: bytes, seconds: float) -> tuple[bool, Any]:
        """Send work and return the result. Raises MessageError or OSError, and TimeoutError after `seconds`."""
        self.uses += 1
        ipc.send(self._socket, (work, arguments), data, seconds)
        (fine, value), _ = ipc.receive(self._socket, self._memory, seconds)
        return bool(fine), value

    def end(self, wait_seconds: float = 0) -> int:
        """End the process and return its exit code, or minus the signal. wait_seconds: time to end by itself."""
        self._socket.close()
        try:
            return self._process.wait(wait_seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


def decoder_of(settings: Settings) -> Decoder:
    """Return the decoder that the settings select. On Windows, which cannot pass sockets on, it is always a thread."""
    apart = settings.decoder == "process" and os.name == "posix"
    return ProcessDecoder(settings) if apart else ThreadDecoder()


def _raised(name: str, detail: str, headers: dict[str, str], facts: dict[str, Any]) -> ServiceError:
    kind: type[ServiceError] = getattr(errors, name)
    assert issubclass(kind, ServiceError)
    return kind(detail, headers, **facts)
