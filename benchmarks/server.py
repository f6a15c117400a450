"""A real service in its own process, and its memory."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_BYTES_PER_KIB = 1024


class Service:
    """`address`, and the memory of the process."""

    def __init__(self, process: "subprocess.Popen[str]", address: str) -> None:
        self.process, self.address = process, address

    def memory_bytes(self, field: str = "VmRSS") -> int:
        """Resident memory now ("VmRSS") or at its peak since the start or the last reset ("VmHWM")."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE)
        assert found
        return int(found[1]) * _BYTES_PER_KIB

    def reset_peak(self) -> None:
        """Start a new peak."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def stop(self) -> int:
        """Send SIGTERM and return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(120)


@contextmanager
def running(command: Sequence[str] = (sys.executable, "-u", "-m", "service"), **settings: object) -> Iterator[Service]:
    """Run `python -m service` on a free loopback port, with IMPASTO_* settings only from the arguments.

    command: another command that starts the service.
    """
    kept = {key: value for key, value in os.environ.items() if not key.startswith("IMPASTO_")}
    given = {"port": 0, "log_level": "error", "checkpoints": ROOT / "checkpoints", **settings}
    process = subprocess.Popen(
        command,
        env=kept | {f"IMPASTO_{key.upper()}": str(value) for key, value in given.items()},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        found = re.search(r"listens on (\S+)", process.stdout.readline())
        assert found, "the service did not start"
        # Whatever it prints from now on must not fill the pipe.
        threading.Thread(target=process.stdout.read, daemon=True).start()
        yield Service(process, found[1])
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
