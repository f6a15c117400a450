"""The driver of a bulk run: feeds the workers, keeps the manifest, and finds what got lost."""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from types import FrameType

from service.cli.bulk.job import Job
from service.cli.bulk.listing import Listing
from service.cli.bulk.manifest import Done, Manifest, Record
from service.cli.bulk.places import Found
from service.cli.bulk.progress import BulkProgress
from service.cli.exit_codes import FAILED
from service.cli.output_paths import PlanError
from service.cli.refused import RefusedError
from service.cli.run import StopError
from service.storage.location import StorageError

_BATCH = 16
"""Images in a batch: few enough that little is repeated when a worker ends, enough that Ray's 10 ms do not count."""


class Driver:
    """Runs a job once. A second pass has batches of one, for what was beside an image that ends its worker."""

    def __init__(self, job: Job, listing: Listing, manifest: Manifest, progress: BulkProgress) -> None:
        self._job, self._listing, self._manifest, self._progress = job, listing, manifest, progress

    def run(self, address: str, workers: int | None) -> int:
        """Process the images that have no output. Return the exit code.

        Raises PlanError and RefusedError if nothing can be started. Other reasons are reported, as failures are.
        """
        try:
            done = asyncio.run(self._prepare())
        except StorageError as error:
            detail = f"{self._listing.source} or {self._job.dest}: {error}"
            raise RefusedError("storage_error", detail, everything=True) from error
        ending, caught = None, None
        if self._first(done) is None:
            self._progress.skipped = len(done)
        else:
            ending, caught = self._work(address, workers, done)
        self._progress.summary(str(self._job.dest), ending)
        if caught:
            return 128 + caught
        return FAILED if ending is not None or self._progress.failed else 0

    async def _prepare(self) -> Done:
        if not await self._any():
            raise PlanError(f"no pictures in {self._listing.source}")
        self._job.dest.prepare()
        return await self._manifest.read()

    async def _any(self) -> bool:
        async for _ in self._listing.images():
            return True
        return False

    def _first(self, done: Done) -> Found | None:
        """Return the first image to process, or None."""

        async def first() -> Found | None:
            async for batch in self._listing.batches(done, 1):
                return batch[0]
            return None

        return asyncio.run(first())

    def _work(self, address: str, workers: int | None, done: Done) -> tuple[str | None, int | None]:
        """Return the reason of an early end, and its signal."""
        caught: list[int] = []
        counting = self._count(done)
        with redirect_stdout(sys.stderr), _connected(address):  # Ray prints, and standard output is JSON
            try:
                asyncio.run(self._manifest.write())
                with _interruptible(caught), self._progress:
                    self._passes(workers, done, counting)
                    return None, None
            except KeyboardInterrupt:
                return "interrupted; the same command continues", caught[0]
            except StopError as stop:
                return str(stop), None
            finally:
                asyncio.run(self._manifest.write())

    def _passes(self, workers: int | None, done: Done, counting: threading.Thread) -> None:
        for most in (_BATCH, 1):
            self._pass(most, workers, done)
            counting.join()
            if self._progress.tried >= (self._progress.total or 0):
                return
            done = asyncio.run(self._recorded())
            if self._first(done) is None:
                return
        asyncio.run(self._give_up())

    def _pass(self, most: int, workers: int | None, done: Done) -> None:
        from service.cli.bulk import cluster  # noqa: PLC0415  # needs an optional extra

        for records in cluster.process(self._job, self._listing, done, most, workers):
            self._note(records)
            if self._manifest.due:
                asyncio.run(self._manifest.write())
            if any(record.fatal for record in records):
                raise StopError("every other picture would fail in the same way")

    async def _recorded(self) -> Done:
        await self._manifest.write()
        return await self._manifest.read()

    async def _give_up(self) -> None:
        """Record the images that have no outcome as failed."""
        done = await self._recorded()
        async for batch in self._listing.batches(done, _BATCH):
            detail = "its worker ended at every attempt"
            self._note([Record(each.name, each.stamp, code="worker_ended", detail=detail) for each in batch])

    def _note(self, records: list[Record]) -> None:
        self._manifest.add(records)
        self._progress.note(records)

    def _count(self, done: Done) -> threading.Thread:
        """Count the images in a thread, for the progress."""

        async def count() -> None:
            total = skipped = 0
            async for found in self._listing.images():
                if found in done:
                    skipped += 1
                else:
                    total += 1
            self._progress.total, self._progress.skipped = total, skipped

        thread = threading.Thread(target=lambda: asyncio.run(count()), name="counting", daemon=True)
        thread.start()
        return thread


@contextmanager
def _connected(address: str) -> Iterator[None]:
    try:
        from service.cli.bulk import cluster  # noqa: PLC0415  # needs an optional extra
    except ImportError as error:
        detail = "bulk needs Ray: pip install 'impasto[bulk]'"
        raise RefusedError("no_ray", detail, everything=True) from error
    with cluster.connected(address):
        yield


@contextmanager
def _interruptible(caught: list[int]) -> Iterator[None]:
    """Turn the first SIGINT or SIGTERM into KeyboardInterrupt. A second one ends the process at once."""

    def stop(number: int, _: FrameType | None) -> None:
        if caught:
            os._exit(128 + number)
        caught.append(number)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
