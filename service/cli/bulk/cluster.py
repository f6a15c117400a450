"""Ray: an actor with the networks for each device, fed by Ray Data from a stream of batches."""

import asyncio
import json
import logging
import math
import os
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy, DataContext, Datasource, ExecutionResources, ReadTask
from ray.data.block import BlockMetadata
from ray.exceptions import RayError

from service.cli.bulk.job import Job
from service.cli.bulk.listing import Listing
from service.cli.bulk.manifest import Done, Record
from service.cli.bulk.places import Found
from service.cli.refused import RefusedError
from service.cli.run import StopError
from service.storage.location import StorageError

LOCAL = "local"
_IN_ACTOR = 2
"""Batches that an actor computes side by side: it always has the next image when one is done."""

_QUEUED = 2 * _IN_ACTOR
_RETRIES = 3
"""Attempts of a batch whose worker ends, after the first."""

_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # without GPUs, it will leave CUDA_VISIBLE_DEVICES as it is
    "RAY_worker_niceness": "0",  # 15 by default: beside other programs, the networks would wait
}
"""Of a Ray that is started here."""

_LISTED_AHEAD_BYTES = 2**24
"""Of names that wait in the object store."""


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Use the cluster at `address`, or start one on this machine for LOCAL. Raises RefusedError."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        ray.init(address=address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        detail = f"--address is {address!r}: {str(error).splitlines()[0]}"
        raise RefusedError("no_cluster", detail, everything=True) from error
    try:
        yield
    finally:
        ray.shutdown()


def process(job: Job, listing: Listing, done: Done, most: int, workers: int | None) -> Iterator[list[Record]]:
    """Yield the records of each batch as it ends. A batch is missing if its worker ended at every attempt.

    most: images in a batch. workers: None: one for each device. Raises RefusedError and StopError.
    """
    _configure()
    count, resources = _workers(ray.nodes(), workers, job.settings.get("device", "auto"))
    strategy = ActorPoolStrategy(
        size=count,
        max_tasks_in_flight_per_actor=_QUEUED,
        max_concurrent_calls_per_actor=_IN_ACTOR,
        enable_true_multi_threading=True,
    )
    source = ray.data.read_datasource(_Source(listing, ray.put(done.digests), most), override_num_blocks=1, num_cpus=0)
    with warnings.catch_warnings():  # Ray has no other name for it yet
        warnings.filterwarnings("ignore", "`ray_remote_args` is deprecated")
        outcome = source.map_batches(
            _Actor, fn_constructor_args=[job], batch_size=1, compute=strategy, max_task_retries=_RETRIES, **resources
        )
    try:
        for block in outcome.iter_batches(batch_size=None, prefetch_batches=0):
            for line in block["records"]:
                yield [Record(**each) for each in json.loads(line)]
    except RayError as error:
        raise StopError(f"Ray: {str(error).strip().splitlines()[0]}") from error


class _Source(Datasource):  # type: ignore[misc]  # Ray is not there when types are checked
    """A stream of batches, each a row with JSON. One task lists the source, as fast as the workers need it.

    The images that are done are those at the start, so that a repeated task lists the same.
    """

    def __init__(self, listing: Listing, done: Any, most: int) -> None:
        self._listing, self._done, self._most = listing, done, most

    def estimate_inmemory_data_size(self) -> int | None:
        return None

    def get_read_tasks(self, parallelism: int, *_: Any, **__: Any) -> list[Any]:  # noqa: ARG002  # as Ray calls it
        listing, done, most = self._listing, self._done, self._most

        def read() -> Iterator[Any]:
            try:
                for batch in _synchronous(listing.batches(Done(ray.get(done)), most)):
                    yield _row([asdict(each) for each in batch])
            except (OSError, StorageError) as error:
                yield _row(f"{listing.source} cannot be listed: {error}")

        return [ReadTask(read, BlockMetadata(num_rows=None, size_bytes=None, exec_stats=None, input_files=None))]


class _Actor:
    """A worker as Ray Data calls it."""

    def __init__(self, job: Job) -> None:
        from service.cli.bulk.worker import Worker  # noqa: PLC0415  # torch takes seconds, and the driver needs none

        self._worker = Worker(job)

    def __call__(self, block: dict[str, Any]) -> dict[str, Any]:
        lines = []
        for line in block["batch"]:
            listed = json.loads(line)
            if isinstance(listed, str):
                records = [Record("SOURCE", "", code="listing_failed", detail=listed, fatal=True)]
            else:
                records = self._worker.process([Found(**each) for each in listed])
            lines.append(json.dumps([asdict(record) for record in records]))
        return {"records": np.array(lines, dtype=object)}


def _row(content: list[dict[str, Any]] | str) -> Any:
    """Return a table of one row: a batch, or the reason why there are no more."""
    return pa.table({"batch": [json.dumps(content)]})


def _configure() -> None:
    context = DataContext.get_current()
    context.target_max_block_size = 1  # a row is a block, so a batch is a task
    context.max_errored_blocks = -1  # the driver looks for what is missing
    context.execution_no_progress_timeout_s = -1  # a batch of posters may take an hour
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    limits = ExecutionResources(object_store_memory=_LISTED_AHEAD_BYTES)
    context.execution_options.resource_limits = limits
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)


def _workers(nodes: list[dict[str, Any]], asked: int | None, device: str) -> tuple[int, dict[str, Any]]:
    """Return the number of workers and the resources of each: a GPU, or the CPUs of a node."""
    if ":" in device:
        detail = f"--device is {device!r}; expected auto, cpu or cuda: Ray gives each worker its GPU"
        raise RefusedError("invalid_device", detail, everything=True)
    found = [node["Resources"] for node in nodes if node["Alive"]]
    gpus = [each for each in found if each.get("GPU", 0) >= 1]
    if gpus and device != "cpu":
        cpus = min(int(each.get("CPU", 0) / each["GPU"]) for each in gpus)
        return asked or int(sum(each["GPU"] for each in gpus)), {"num_gpus": 1, "num_cpus": cpus}
    with_cpus = [each["CPU"] for each in found if each.get("CPU", 0) >= 1]
    if not with_cpus:
        detail = "the cluster has no node with a CPU or a GPU for workers"
        raise RefusedError("no_cluster", detail, everything=True)
    count = asked or len(with_cpus)
    return count, {"num_cpus": max(1, int(min(with_cpus) / math.ceil(count / len(with_cpus))))}


def _synchronous(batches: AsyncIterator[list[Found]]) -> Iterator[list[Found]]:
    """Yield what an asynchronous iterator yields."""
    with asyncio.Runner() as runner:
        while batch := runner.run(_next(batches)):
            yield batch


async def _next(batches: AsyncIterator[list[Found]]) -> list[Found]:
    return await anext(batches, [])
