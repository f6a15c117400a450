"""The CPU threads of torch: the workers of the devices share them; every other thread computes with one.

GNU OpenMP keeps a pool of threads for each thread that has computed with several. If all pools together have more
threads than there are CPUs, it puts each of them to sleep at every barrier, and a network has hundreds of barriers:
styles took 1.4 times as long after the main thread had verified a checkpoint (docs/decisions/0007-the-engine.md).
"""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch

from service.engine.cgroup import permitted_cpus


class ThreadBudget:
    """The CPU threads of one device. The main worker has all that no side worker has taken; a side worker takes one."""

    def __init__(self, count: int, on_taken: Callable[[], None]) -> None:
        """count: threads of the device. on_taken: called when a side worker takes a thread."""
        self.count, self._on_taken = count, on_taken
        self._taken = 0
        self._reserved = False
        self._changed = threading.Condition()

    @property
    def left(self) -> int:
        """The threads for the main worker, at least one."""
        return max(1, self.count - self._taken)

    @contextmanager
    def take_one(self) -> Iterator[None]:
        """Take one thread from the main worker while a side worker computes."""
        self._on_taken()
        self._take(1)
        try:
            yield
        finally:
            self._take(-1)

    @contextmanager
    def given_back(self) -> Iterator[None]:
        """Give the thread of a side worker back while it is paused."""
        self._take(-1)
        try:
            yield
        finally:
            self._take(1)

    @contextmanager
    def reserve_all(self) -> Iterator[None]:
        """Reserve all threads for a preempting batch of the main worker: side workers pause after their band."""
        self._reserve(True)
        try:
            yield
        finally:
            self._reserve(False)

    def yield_if_reserved(self) -> None:
        """Pause a side worker while all threads are reserved."""
        if self._reserved:
            with self.given_back(), self._changed:
                self._changed.wait_for(lambda: not self._reserved)

    def _take(self, more: int) -> None:
        with self._changed:
            self._taken += more

    def _reserve(self, reserved: bool) -> None:
        with self._changed:
            self._reserved = reserved
            self._changed.notify_all()


def helper_pool(count: int, name: str) -> ThreadPoolExecutor:
    """Return a pool of threads outside the devices, in which torch computes with one thread."""
    return ThreadPoolExecutor(count, thread_name_prefix=name, initializer=use_one_thread)


def permitted_threads() -> int:
    """Return the number of threads for all devices: that of torch, or the CPUs of the container if they are fewer."""
    count, permitted = torch.get_num_threads(), permitted_cpus()
    return count if permitted is None or "OMP_NUM_THREADS" in os.environ else min(count, permitted)


def reserve_threads() -> int:
    """Limit this thread and later ones to one thread of torch. Returns the number of threads for all devices."""
    count = permitted_threads()
    use_one_thread()
    return count


def use_threads(count: int) -> None:
    """Let the calling thread compute with `count` threads. Call `use_one_thread` in another thread afterwards."""
    torch.set_num_threads(count)
    torch.get_num_threads()  # a thread adopts the number when it first asks, so it must ask now


def use_one_thread() -> None:
    """Let this thread and later ones compute with one thread. Threads that called `use_threads` keep their number."""
    torch.set_num_threads(1)


def run_in_new_thread(count: int, work: Callable[[], None]) -> None:
    """Run `work` with `count` threads in a new thread, so that its OpenMP pool ends with it. Raises what it raises."""
    errors: list[Exception] = []

    def run() -> None:
        use_threads(count)
        try:
            work()
        except Exception as error:  # noqa: BLE001  # raised below
            errors.append(error)

    thread = threading.Thread(target=run, name="measuring")
    thread.start()
    thread.join()
    use_one_thread()
    if errors:
        raise errors[0]
