"""The threads that decode and encode, and the time that each stage takes there."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

from service.observability.tracing import stage

Value = TypeVar("Value")

_LARGE_PIXELS = 4_000_000


class Codecs:
    """Thread pools: one for pictures of usual size, and a single thread for large ones, so that small ones pass."""

    def __init__(self, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="codec")
        self._large = ThreadPoolExecutor(1, thread_name_prefix="codec-large")

    async def run(
        self, milliseconds: dict[str, float], name: str, work: Callable[[], Value], pixels: int = 0, part: str = ""
    ) -> Value:
        """Run `work` on a thread, with the ids of the request for its log lines. Add its time to `milliseconds[name]`.

        part: the name of the span, if the stage has several.
        """
        start = time.perf_counter()
        threads = self._large if pixels > _LARGE_PIXELS else self._threads
        with stage(part or name, pixels=pixels):
            value = await asyncio.get_running_loop().run_in_executor(threads, copy_context().run, work)
        milliseconds[name] = milliseconds.get(name, 0.0) + (time.perf_counter() - start) * 1000
        return value

    def close(self) -> None:
        """Wait for the threads, and end them."""
        self._threads.shutdown(wait=True)
        self._large.shutdown(wait=True)
