"""Where pictures are decoded: in processes of their own, so that a file that crashes a decoder crashes nothing else.

A process has one picture at a time. One that ends, or takes too long, costs that picture's request, and another takes
its place.
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
"""Then another takes its place: what a library leaks is bounded."""

_BASE_BYTES = 3 * 2**29
_BYTES_PER_PIXEL = 200
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
"""Most of it is imports: half a second, or many where the machine is busy. No picture's fault."""

_FROM_OUTSIDE = {signal.SIGKILL, signal.SIGTERM}


class Decoder(Protocol):
    """As the functions of `service.images.decode`; called on codec threads."""

    def measure(self, data: bytes, max_pixels: int, max_frames: int) -> Header:
        """What the header says."""

    def decode(self, data: bytes, header: Header, options: DecodeOptions) -> Decoded:
        """The picture."""

    def start(self) -> None:
        """Before the first picture."""

    def close(self) -> None:
        """After the last one."""


class ThreadDecoder:
    """Decodes where it is called: a crash is the service's."""

    measure = staticmethod(decode.measure)
    decode = staticmethod(decode.decode)

    def start(self) -> None:
        """Nothing to start."""

    def close(self) -> None:
        """Nothing to end."""


class ProcessDecoder:
    """Decodes in processes, which wait for pictures. Called from any thread; each call has a process to itself."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._memory = settings.decoder_memory_bytes or _BASE_BYTES + _BYTES_PER_PIXEL * settings.max_pixels
        self._seconds, self._count, self._metrics = settings.decoder_seconds, settings.codec_threads, metrics
        self._idle: list[_Process] = []
        self._lock, self._closed = threading.Lock(), False

    def start(self) -> None:
        """Begin the processes; they are ready in less than a second, and wanted later."""
        with self._lock:
            self._idle = [_Process(self._memory) for _ in range(self._count)]

    def measure(self, data: bytes, max_pixels: int, max_frames: int) -> Header:
        """As `decode.measure`. Raises BrokenImageError, too, where the process ends over it."""
        header: Header = self._ask("measure", data, max_pixels, max_frames)
        return header

    def decode(self, data: bytes, header: Header, options: DecodeOptions) -> Decoded:
        """As `decode.decode`. Raises BrokenImageError, too, where the process ends over it."""
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
        except UnavailableError:  # killed from outside: not likely to happen again
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
        """One that waits, or another where all are at work: large pictures have a thread of their own."""
        for _ in range(_STARTS):
            with self._lock:
                process = self._idle.pop() if self._idle else None
            process = process or _Process(self._memory)
            if process.wait_until_ready():
                return process
            self._tell("idle", process.end(), None)  # while it waited, or began: no picture's fault
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
        """It has ended over a picture, or is ended. What to tell that picture's client."""
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
        self._metrics.decoder_restarts.labels(reason).inc()
        log.error("a decoder process is replaced", extra={"reason": reason, "exit_code": code, "work": work})


class _Process:
    """A decoder process and our end of the socket to it."""

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
                start_new_session=True,
                env={key: value for key, value in os.environ.items() if not key.startswith(("IMPASTO_", "OTEL_"))},
            )

    def wait_until_ready(self) -> bool:
        """Whether it waits for pictures; one that has just begun is waited for."""
        if not self._ready and self._process.poll() is None:
            try:
                ipc.receive(self._socket, self._memory, _START_SECONDS)
                self._ready = True
            except (ipc.MessageError, OSError):
                return False
        return self._process.poll() is None

    def ask(self, work: str, arguments: tuple[object, ...], data: bytes, seconds: float) -> tuple[bool, Any]:
        """What it answers. Raises MessageError or OSError where it does not, TimeoutError after so many seconds."""
        self.uses += 1
        ipc.send(self._socket, (work, arguments), data, seconds)
        (fine, value), _ = ipc.receive(self._socket, self._memory, seconds)
        return bool(fine), value

    def end(self, wait_seconds: float = 0) -> int:
        """End it; its exit code, or minus the signal that ended it. wait_seconds: for one that ends by itself."""
        self._socket.close()
        try:
            return self._process.wait(wait_seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


def decoder_of(settings: Settings, metrics: Metrics) -> Decoder:
    """The one that the settings ask for; on Windows, which cannot hand on sockets like that, always a thread."""
    apart = settings.decoder == "process" and os.name == "posix"
    return ProcessDecoder(settings, metrics) if apart else ThreadDecoder()


def _raised(name: str, detail: str, headers: dict[str, str], facts: dict[str, Any]) -> ServiceError:
    kind: type[ServiceError] = getattr(errors, name)
    assert issubclass(kind, ServiceError)
    return kind(detail, headers, **facts)
