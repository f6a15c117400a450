"""A run over many images, several at once. A failure is reported, and the others continue."""

import asyncio
import errno
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from service.cli.backends import Backend, Operation
from service.cli.output_paths import WorkItem
from service.cli.records import Records
from service.cli.refused import RefusedError
from service.cli.report import Report
from service.cli.writing import write

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
"""After these errors no output can be written."""


class StopError(Exception):
    """The run cannot continue."""


class Run:
    """One run of an operation over images."""

    def __init__(self, backend: Backend, operation: Operation, report: Report, records: Records) -> None:
        self._backend, self._operation, self._report, self._records = backend, operation, report, records
        self._written: set[Path] = set()

    async def over(self, items: Sequence[WorkItem], jobs: int) -> None:
        """Process the items, `jobs` at once. Raises StopError, after cancelling unfinished items."""
        waiting = iter(items)
        tasks = [asyncio.create_task(self._work(waiting)) for _ in range(min(jobs, len(items)))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self, waiting: Iterator[WorkItem]) -> None:
        for item in waiting:
            try:
                await self._one(item)
            except RefusedError as error:
                self._report.note_failed(item, error.code, error.detail)
                if error.everything:
                    raise StopError("every other picture would fail in the same way") from error
            except BrokenPipeError:
                raise
            except OSError as error:
                elsewhere = f"{error.filename}: " if error.filename not in {None, item.source.name} else ""
                detail = f"{elsewhere}{error.strerror or error}"
                self._report.note_failed(item, "file_error", detail)
                if error.errno in NO_ROOM:
                    raise StopError(f"nothing more can be written: {error.strerror}") from error

    async def _one(self, item: WorkItem) -> None:
        if any(item.is_source(path) for path in item.paths()):
            raise _same_file()
        start = time.perf_counter()
        output = await self._backend.process(await asyncio.to_thread(_read, item))
        path = item.target.path(output.format)
        if path is not None and item.is_source(path):
            raise _same_file()
        if path in self._written:
            raise RefusedError("same_output", f"{path} is the output of another picture of this run")
        if path is not None:
            self._written.add(path)
        await asyncio.to_thread(write, path, output.body)
        if path is not None:
            self._records.add(path, item.source.path, self._operation.recorded, output.model)
        self._report.note_done(item, path, output, time.perf_counter() - start)


def _read(item: WorkItem) -> bytes:
    data = item.source.read()
    if not data:
        raise RefusedError("invalid_body", "it is empty; expected an image")
    return data


def _same_file() -> RefusedError:
    return RefusedError("same_file", "the output would replace the picture itself: name another folder")
