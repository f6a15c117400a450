"""Many pictures, some at once: read, painted, written. One that cannot be done is told, and the others go on."""

import asyncio
import errno
import time
from collections.abc import Iterator, Sequence

from service.cli.backends import Painter, RefusedError
from service.cli.output_paths import Errand, done_already, is_itself
from service.cli.report import Report
from service.cli.writing import write
from service.images.formats import Format

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
"""What no later picture could be written after, either."""


class StopError(Exception):
    """Nothing more can be done; the message says why."""


class Run:
    """One run. kind: the format that was asked for. overwrite: whether what is done is done again."""

    def __init__(self, painter: Painter, report: Report, kind: Format | None, overwrite: bool) -> None:
        self._painter, self._report, self._kind, self._overwrite = painter, report, kind, overwrite

    async def over(self, errands: Sequence[Errand], jobs: int) -> None:
        """Do all of them, `jobs` at once. Raises StopError; what was begun then is given up."""
        waiting = iter(errands)
        tasks = [asyncio.create_task(self._work(waiting)) for _ in range(min(jobs, len(errands)))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self, waiting: Iterator[Errand]) -> None:
        for errand in waiting:
            try:
                await self._one(errand)
            except RefusedError as error:
                self._report.note_failed(errand, error.code, error.detail)
                if error.everything:
                    raise StopError("the next picture would fare no better") from error
            except BrokenPipeError:
                raise
            except OSError as error:
                elsewhere = f"{error.filename}: " if error.filename not in {None, errand.source.name} else ""
                detail = f"{elsewhere}{error.strerror or error}"
                self._report.note_failed(errand, "file_error", detail)
                if error.errno in _NO_ROOM:
                    raise StopError(f"nothing more can be written: {error.strerror}") from error

    async def _one(self, errand: Errand) -> None:
        earlier = await asyncio.to_thread(done_already, errand, self._kind)
        if earlier is not None:
            if is_itself(errand, earlier):
                raise _itself()
            if not self._overwrite:
                self._report.note_skipped(errand, earlier)
                return
        start = time.perf_counter()
        painted = await self._painter.paint(await asyncio.to_thread(_read, errand))
        path = errand.target.path(painted.format)
        if path is not None and is_itself(errand, path):
            raise _itself()
        await asyncio.to_thread(write, path, painted.body)
        self._report.note_done(errand, path, painted, time.perf_counter() - start)


def _read(errand: Errand) -> bytes:
    data = errand.source.read()
    if not data:
        raise RefusedError("invalid_body", "it is empty; expected an image")
    return data


def _itself() -> RefusedError:
    return RefusedError("same_file", "the answer would take the place of the picture itself: name another folder")
