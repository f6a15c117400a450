"""A service as a process that is watched from outside: its memory, its files, its decoders, and its end."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from tests.end_to_end.test_serve import ROOT, address_in, environment


class Watched:
    """`address`, and what the system knows of the process."""

    def __init__(self, process: "subprocess.Popen[str]", address: str) -> None:
        self.process, self.address = process, address

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.address, timeout=120, trust_env=False)

    @property
    def host(self) -> tuple[str, int]:
        host, port = self.address.removeprefix("http://").split(":")
        return host, int(port)

    @property
    def decoders(self) -> list[int]:
        """Processes that decode, those that are alive."""
        found = []
        for thread in Path(f"/proc/{self.process.pid}/task").iterdir():
            with suppress(OSError):  # it has ended meanwhile
                found += [int(each) for each in (thread / "children").read_text().split()]
        return [pid for pid in found if self._is_decoder(pid)]

    def memory_mib(self, pid: int | None = None) -> float:
        """Resident."""
        status = Path(f"/proc/{pid or self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) / 1024

    @property
    def open_files(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def signal(self, number: int) -> None:
        os.kill(self.process.pid, number)

    @staticmethod
    def _is_decoder(pid: int) -> bool:
        try:
            return b"service.images.sandbox.child" in Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return False


@contextmanager
def watched(module: str = "service", stderr: object = None, **settings: object) -> Iterator[Watched]:
    given = {"port": 0, "precision": "fp32", "device": "cpu", "max_batch_items": 1, "decoder": "process"} | settings
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", module],
        env=environment(**given),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )
    try:
        line = process.stdout.readline()
        assert line, "the service did not start"
        yield Watched(process, address_in(line))
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.communicate()
