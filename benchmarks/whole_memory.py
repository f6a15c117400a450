"""The memory of a service with all its processes: decoders too. Reads /proc, so it works without further packages."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_EVERY_SECONDS = 0.05
_BYTES_PER_KIB = 1024


class WholeMemory:
    """The sum of proportional set sizes, in which shared pages count once. peak_bytes: the largest so far."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.peak_bytes = self.now_bytes()

    def now_bytes(self) -> int:
        """Sum over the process and its descendants, as far as they live."""
        return sum(_pss_bytes(pid) for pid in _descent(self._pid))

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Measure the peak of the enclosed block, in samples."""
        self.peak_bytes = self.now_bytes()
        done = threading.Event()

        def watch() -> None:
            while not done.wait(_EVERY_SECONDS):
                self.peak_bytes = max(self.peak_bytes, self.now_bytes())

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def _descent(pid: int) -> list[int]:
    """Return a process and its descendants."""
    found = [pid]
    for parent in found:
        try:
            for thread in Path(f"/proc/{parent}/task").iterdir():
                found += [int(child) for child in (thread / "children").read_text().split()]
        except OSError:  # it has ended
            continue
    return found


def _pss_bytes(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:  # it has ended
        return 0
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * _BYTES_PER_KIB if found else 0
