"""A real service in its own process, and its memory; and a real Redis."""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_BYTES_PER_KIB = 1024
_OTHER_CHECKPOINTS = "BENCHMARK_CHECKPOINTS"


class Service:
    """`address`, and the memory of the process."""

    def __init__(self, process: "subprocess.Popen[str]", address: str) -> None:
        self.process, self.address = process, address

    def memory_bytes(self) -> int:
        """Resident memory of the process now, without its decoders."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
        assert found
        return int(found[1]) * _BYTES_PER_KIB

    def stop(self) -> int:
        """Send SIGTERM and return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(120)


@contextmanager
def running(command: Sequence[str] = (sys.executable, "-u", "-m", "service"), **settings: object) -> Iterator[Service]:
    """Run `python -m service` on a free loopback port, with IMPASTO_* settings only from the arguments.

    command: another command that starts the service. BENCHMARK_CHECKPOINTS names a folder of other networks.
    """
    kept = {key: value for key, value in os.environ.items() if not key.startswith("IMPASTO_")}
    given = {"port": 0, "log_level": "error", "checkpoints": ROOT / "checkpoints"} | settings
    if _OTHER_CHECKPOINTS in os.environ:
        given["checkpoints"] = os.environ[_OTHER_CHECKPOINTS]
    process = subprocess.Popen(
        command,
        env=kept | {f"IMPASTO_{key.upper()}": str(value) for key, value in given.items()},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    # Whatever it prints must not fill the pipe.
    reader = threading.Thread(target=process.stdout.read, daemon=True)
    try:
        found = re.search(r"listens on (\S+)", process.stdout.readline())
        assert found, "the service did not start"
        reader.start()
        yield Service(process, found[1])
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        if reader.ident is not None:
            reader.join()  # the decoders, which have the pipe too, end with the service
        process.stdout.close()


@contextmanager
def redis() -> Iterator[int]:
    """Run a redis-server with an append-only file on a free loopback port; yields the port."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = ["redis-server", "--port", str(port), "--dir", folder, "--save", "", "--appendonly", "yes"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            try:
                while not _listens(port):
                    assert process.poll() is None, "redis-server did not start"
                    time.sleep(0.05)
                yield port
            finally:
                process.kill()


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False
