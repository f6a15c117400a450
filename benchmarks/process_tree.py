"""Memory and CPU time of a process and its descendants."""

import contextlib
import os
import threading
from types import TracebackType
from typing import Self

import psutil

_EVERY_SECONDS = 0.25


class ProcessTree:
    """Watches a process tree from `with` on.

    peak_bytes: the largest sum of proportional set sizes so far, in which shared pages count once.
    """

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.peak_bytes = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._done.set()
        self._thread.join()

    def processes(self) -> list[psutil.Process]:
        """List the living processes."""
        try:
            return [self._root, *self._root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def memory_bytes(self) -> int:
        """Return the present memory."""
        return sum(_pss_bytes(process.pid) for process in self.processes())

    def cpu_seconds(self) -> float:
        """Return user and system time of the living processes since their start."""
        total = 0.0
        for process in self.processes():
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += times.user + times.system
        return total

    def stop(self) -> None:
        """Send SIGTERM to the root, and SIGKILL after five seconds to the rest of the tree."""
        processes = self.processes()
        with contextlib.suppress(psutil.NoSuchProcess):
            self._root.terminate()
        _, left = psutil.wait_procs(processes, timeout=5)
        for process in left:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(left, timeout=5)

    def _watch(self) -> None:
        while not self._done.wait(_EVERY_SECONDS):
            self.peak_bytes = max(self.peak_bytes, self.memory_bytes())


def _pss_bytes(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:  # noqa: PTH123  # four times a second, for each process
            return next((1024 * int(line.split()[1]) for line in file if line.startswith("Pss:")), 0)
    except (OSError, ValueError):
        return 0


def share_of_cores(cpu_seconds: float, elapsed: float) -> float:
    """Return the share of the time of all cores."""
    return cpu_seconds / elapsed / (os.cpu_count() or 1)
