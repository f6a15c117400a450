"""torch's threads belong to those who compute: the devices' own threads. Everybody else has one.

GNU OpenMP keeps a pool for every thread that has once computed with several. Where all pools together have more threads
than there are CPUs, it sends each of them to sleep at every barrier, and a network has hundreds: because the main
thread had verified a checkpoint, styles took 1.4 times as long (docs/decisions/0007-the-engine.md).
"""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch

from service.engine.cgroup import permitted_cpus


class SharedThreads:
    """A device's threads: one worker has all of them, less those that are lent to its companions, one to each."""

    def __init__(self, count: int, on_lent: Callable[[], None]) -> None:
        self.count, self._on_lent = count, on_lent
        self._lent = 0
        self._urgent = False
        self._changed = threading.Condition()

    @property
    def left(self) -> int:
        """How many are not lent; always one at least."""
        return max(1, self.count - self._lent)

    @contextmanager
    def lend_one(self) -> Iterator[None]:
        """One less for the worker, while a companion computes."""
        self._on_lent()
        self._lend(1)
        try:
            yield
        finally:
            self._lend(-1)

    @contextmanager
    def all_for(self) -> Iterator[None]:
        """For something urgent the worker has all threads: companions give theirs back at their next pause."""
        self._hurry(True)
        try:
            yield
        finally:
            self._hurry(False)

    def let_pass(self) -> None:
        """A companion's pause: wait, without a thread, while the worker has something urgent."""
        if self._urgent:
            with self.given_back(), self._changed:
                self._changed.wait_for(lambda: not self._urgent)

    @contextmanager
    def given_back(self) -> Iterator[None]:
        """Of what is lent to a companion, while it pauses."""
        self._lend(-1)
        try:
            yield
        finally:
            self._lend(1)

    def _lend(self, more: int) -> None:
        with self._changed:
            self._lent += more

    def _hurry(self, urgent: bool) -> None:
        with self._changed:
            self._urgent = urgent
            self._changed.notify_all()


def helpers(count: int, name: str) -> ThreadPoolExecutor:
    """Threads beside the devices' that may meet torch, which then computes with one: they ask before all else."""
    return ThreadPoolExecutor(count, thread_name_prefix=name, initializer=leave_threads)


def permitted_threads() -> int:
    """How many threads the devices may have: torch's own number, or the CPUs of the container where those are fewer."""
    count, permitted = torch.get_num_threads(), permitted_cpus()
    return count if permitted is None or "OMP_NUM_THREADS" in os.environ else min(count, permitted)


def reserve_threads() -> int:
    """From here on, this thread and those that come later compute with one. Returns how many the devices may have."""
    count = permitted_threads()
    leave_threads()
    return count


def claim_threads(count: int) -> None:
    """Compute with so many in the calling thread; `leave_threads` in another one keeps those that come later to one."""
    torch.set_num_threads(count)
    torch.get_num_threads()  # a thread takes the number in force when it first asks, which must be now


def leave_threads() -> None:
    """This thread, and those that come later, compute with one; who has claimed more keeps it."""
    torch.set_num_threads(1)


def in_a_thread_of_its_own(count: int, work: Callable[[], None]) -> None:
    """Run `work` with so many threads, which are gone when it is done. An error of it is raised here."""
    errors: list[Exception] = []

    def run() -> None:
        claim_threads(count)
        try:
            work()
        except Exception as error:  # noqa: BLE001  # raised again below
            errors.append(error)

    thread = threading.Thread(target=run, name="measuring")
    thread.start()
    thread.join()
    leave_threads()
    if errors:
        raise errors[0]
