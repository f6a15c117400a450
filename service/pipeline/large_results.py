"""Large results of jobs in Redis: the bytes are an object below a prefix, and Redis keeps its name.

Redis knows of each object before it is written: it is reserved, then a job that is done has it, then it is discarded.
Any replica deletes what is discarded, and what was reserved by a replica that died.
"""

import asyncio
import logging
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from service.errors import StartupError, UnavailableError
from service.images.formats import MEDIA_TYPES
from service.jobs.record import JobRecord, Lease, Outcome
from service.jobs.redis_store import RedisStore
from service.settings import PREFIX, Settings
from service.storage.location import Location, MissingObjectError, StorageError, parse_location

if TYPE_CHECKING:  # it needs an optional extra
    from service.storage.objects import Objects

log = logging.getLogger(__name__)

_RESERVED_SECONDS = 3600.0
"""Longer than it takes to write an object, and than Redis may be away after that."""
_COLLECT_SECONDS, _MOST_AT_ONCE, _DELETE_SECONDS = 5.0, 20, 120.0


class LargeResults:
    """Writes, reads and deletes the objects. Use it on the event loop only."""

    def __init__(self, prefix: Location, least_bytes: int, objects: "Objects", store: RedisStore) -> None:
        """least_bytes: a result that is not larger stays in Redis."""
        self._prefix, self._least_bytes, self._objects, self._store = prefix, least_bytes, objects, store
        self._loop: asyncio.Task[None] | None = None

    async def move(self, lease: Lease, outcome: Outcome) -> Outcome:
        """Write a large result to an object. If the storage does not take it, it stays in the outcome."""
        if len(outcome.result) <= self._least_bytes:
            return outcome
        name = f"{lease.job.identity}-{lease.job.attempt}"
        try:
            await self._store.reserve(name, _RESERVED_SECONDS)
            await self._objects.write(self._location(name), outcome.result, MEDIA_TYPES[outcome.facts["format"]])
        except (StorageError, UnavailableError) as error:
            log.warning("a large result stays in Redis", extra={"error": str(error)})
            return outcome
        return replace(outcome, result=b"", result_bytes=len(outcome.result), object=name)

    async def read(self, job: JobRecord) -> bytes | None:
        """Return the result of a job; None if its object was deleted. Raises UnavailableError."""
        try:
            return await self._objects.read(self._location(job.object), job.result_bytes)
        except MissingObjectError:
            return None
        except StorageError as error:
            detail = f"the result in {self._prefix} cannot be read: {error}"
            raise UnavailableError(detail, {"Retry-After": "5"}) from error

    def start(self) -> None:
        """Begin to delete what is discarded."""
        self._loop = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Stop to delete; other replicas go on."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)

    async def collect(self) -> None:
        """Delete some of what is discarded. What fails is tried again minutes later, by any replica."""
        for name in await self._store.discarded(_MOST_AT_ONCE, _DELETE_SECONDS):
            try:
                await self._objects.delete(self._location(name))
            except StorageError as error:
                log.warning("a discarded result cannot be deleted", extra={"error": str(error)})
                return
            await self._store.forget_object(name)

    async def _run(self) -> None:
        while True:
            with suppress(UnavailableError):
                await self.collect()
            await asyncio.sleep(_COLLECT_SECONDS)

    def _location(self, name: str) -> Location:
        return Location(self._prefix.root, f"{self._prefix.key}{name}")


def large_results_from_settings(settings: Settings, store: RedisStore) -> LargeResults | None:
    """Return where large results go, if the settings name a prefix. Raises StartupError."""
    if not settings.job_results:
        return None
    name = f"{PREFIX}JOB_RESULTS"
    try:
        prefix = parse_location(settings.job_results.rstrip("/") + "/")
    except StorageError as error:
        raise StartupError(f"{name}={settings.job_results}: {error}; expected s3://bucket/folder/") from error
    try:
        from service.storage.objects import Objects  # noqa: PLC0415  # needs an optional extra
    except ImportError as error:
        raise StartupError(f"{name}: needs the package obstore: pip install 'impasto[storage]'") from error
    return LargeResults(prefix, settings.job_result_bytes, Objects(), store)
