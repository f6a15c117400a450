"""The trainer beside the service: one process of low priority, started when a painting waits, paused under load."""

import asyncio
import contextlib
import importlib.util
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

log = logging.getLogger(__name__)

_IDLE_SECONDS = 60
_NICENESS = 19
_STOP_SECONDS = 10.0
_ENDED = frozenset({0, 128 + signal.SIGTERM, -signal.SIGTERM})
"""Exit codes of a trainer that had nothing to do, or was ended by the service."""


class TrainerProcess:
    """`impasto-train learn`, as a child of the service. Use it on the event loop only.

    It computes with all CPUs that the service leaves free. While requests are computed it is stopped, so that it costs
    them nothing; the trainer does not count that time.
    """

    def __init__(self, folder: Path, checkpoints: Path, options: Sequence[str] = ()) -> None:
        """folder: that of the queue. checkpoints: the model repository with the trunk. options: for the command."""
        self._command = [sys.executable, "-m", "trainer", "learn", str(folder), "--checkpoints", str(checkpoints)]
        self._command += ["--idle", str(_IDLE_SECONDS), *options]
        self._process: asyncio.subprocess.Process | None = None
        self._paused = False
        self.failures, self.last_error = 0, ""
        """How often in a row it ended with an error, and its last words."""

    @staticmethod
    def missing() -> list[str]:
        """Return the packages that the trainer lacks here; none if it can run."""
        return [name for name in ("trainer", "torchvision", "skimage") if importlib.util.find_spec(name) is None]

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int | None:
        """The process id, also after the process has ended; None before the first start."""
        return None if self._process is None else self._process.pid

    async def start(self) -> None:
        """Start the process, unless it runs."""
        if self.running:
            return
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
            start_new_session=True,  # Ctrl-C in a terminal is for the service, which ends the trainer itself
        )
        _lower_priority(self._process.pid)
        self._paused = False
        self._reader = asyncio.create_task(self._read_errors(self._process))
        log.info("trainer started", extra={"pid": self._process.pid})

    def pause(self, wanted: bool) -> None:
        """Stop the process, or let it go on."""
        if self.running and wanted != self._paused:
            assert self._process is not None
            self._process.send_signal(signal.SIGSTOP if wanted else signal.SIGCONT)
            self._paused = wanted

    async def stop(self) -> None:
        """End the process. The painting that it works on goes back into the queue."""
        if self._process is None or not self.running:
            return
        self.pause(False)
        self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), _STOP_SECONDS)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def _read_errors(self, process: asyncio.subprocess.Process) -> None:
        """Keep the last line that the process wrote, which says why it ended."""
        assert process.stderr is not None
        async for line in process.stderr:
            if text := line.decode(errors="replace").strip():
                self.last_error = text
        code = await process.wait()
        self.failures = 0 if code in _ENDED else self.failures + 1
        if code not in _ENDED:
            log.error("trainer ended", extra={"exit_code": code, "reason": self.last_error})


def _lower_priority(process: int) -> None:
    """Let a process run only when no other wants the CPU.

    The process has a session of its own. Where Linux schedules sessions as groups, the niceness of the group counts.
    """
    os.setpriority(os.PRIO_PROCESS, process, _NICENESS)
    with contextlib.suppress(OSError):
        Path(f"/proc/{process}/autogroup").write_text(str(_NICENESS))
