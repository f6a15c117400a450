"""A worker: the engine of the service in a process of its own, for batches of images. Knows no Ray."""

import asyncio
import io
import os
import threading
import time
import warnings
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any, TypeVar

from PIL import Image

from service import __version__
from service.cli.backends import Output
from service.cli.bulk.job import Job
from service.cli.bulk.manifest import Record
from service.cli.bulk.places import Found
from service.cli.local import LocalBackend, asked_of, engine, local_settings, refusal_of
from service.cli.output_paths import own_name
from service.cli.records import identities_in
from service.cli.refused import RefusedError
from service.cli.run import NO_ROOM
from service.errors import ServiceError, StartupError, UnavailableError
from service.images.formats import MEDIA_TYPES
from service.storage.location import CredentialsError, StorageError

_DEVICE_LOST = 70
_JOBS_OF_CPU, _JOBS_OF_GPU = 2, 8
_T = TypeVar("_T")


class Worker:
    """Reads images, transforms them by the pipeline of the service, and writes the outputs. Threads may share it.

    An error at the start is not raised: each record has it, because a process that cannot start is started again.
    """

    def __init__(self, job: Job) -> None:
        self._job, self._parts = job, AsyncExitStack()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="bulk", daemon=True)
        self._thread.start()
        self._refusal: RefusedError | None = None
        try:
            self._wait(self._start())
        except StartupError as error:
            self._refusal = RefusedError("startup", str(error), everything=True)
        except RefusedError as error:
            self._refusal = error

    def process(self, batch: list[Found]) -> list[Record]:
        """Transform the images of a batch; one record for each. The other batches of this worker go on beside it."""
        return self._wait(self._all(batch))

    def close(self) -> None:
        """Stop the engine."""
        self._wait(self._parts.aclose())
        self._wait(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _wait(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _start(self) -> None:
        if self._job.version != __version__:
            detail = f"the worker has impasto {__version__}; expected {self._job.version}, as where it was started"
            raise RefusedError("other_version", detail, everything=True)
        try:
            asked = asked_of(self._job.operation)
            self._app = await self._parts.enter_async_context(engine(local_settings(**self._job.settings)))
            self._app.state.pipeline.check(asked)
        except ServiceError as error:
            raise refusal_of(error) from error
        self._backend = LocalBackend(self._app.state.pipeline, asked)
        on_gpu = self._app.state.engine.devices[0].type != "cpu"
        self._permits = asyncio.Semaphore(self._job.jobs or (_JOBS_OF_GPU if on_gpu else _JOBS_OF_CPU))

    async def _all(self, batch: list[Found]) -> list[Record]:
        return await asyncio.gather(*map(self._one, batch))

    async def _one(self, found: Found) -> Record:
        try:
            if self._refusal is not None:
                raise self._refusal
            async with self._permits:
                return await self._transform(found)
        except RefusedError as error:
            # Unavailable is a decoder that was killed twice, by this image or for want of memory
            fatal = error.everything and error.code != UnavailableError.code
            return _failed(found, error.code, error.detail, fatal)
        except StorageError as error:
            return _failed(found, "storage_error", str(error), isinstance(error, CredentialsError))
        except OSError as error:
            full = error.errno in NO_ROOM
            return _failed(found, "file_error", f"{error.filename or found.name}: {error.strerror or error}", full)

    async def _transform(self, found: Found) -> Record:
        start = time.perf_counter()
        data = await self._job.source.read(found.name)
        if not data:
            raise RefusedError("invalid_body", "it is empty; expected an image")
        output = await self._computed(data)
        if other := set(identities_in(output.model)) - self._job.models:
            detail = f"the worker has {', '.join(sorted(other))}, which is not in the checkpoints of the driver"
            raise RefusedError("other_network", detail, everything=True)
        name = own_name(found.name, output.format)
        await self._job.dest.write(name, output.body, MEDIA_TYPES[output.format])
        seconds = round(time.perf_counter() - start, 3)
        return Record(found.name, found.stamp, name, len(output.body), _pixels(output.body), seconds)

    async def _computed(self, data: bytes) -> Output:
        try:
            return await self._backend.process(data)
        except RefusedError:
            if self._app.state.engine.fatal is not None:  # only a new process can use the device again
                os._exit(_DEVICE_LOST)
            raise


def _failed(found: Found, code: str, detail: str, fatal: bool = False) -> Record:
    return Record(found.name, found.stamp, code=code, detail=detail, fatal=fatal)


def _pixels(body: bytes) -> int:
    """Return the pixels of an encoded image, from its header."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(io.BytesIO(body)) as image:
            return image.width * image.height
