"""The time that the job store in Redis takes for one job: python benchmarks/job_store.py [--jobs 150]

One process adds a job, starts it, reports, stores the result and fetches it, over a redis-server of its own with an
append-only file. Payload and result have the same size. Prints a Markdown table: milliseconds.
"""

import argparse
import asyncio
import os
import socket
import statistics
import subprocess
import tempfile
import time

from prometheus_client import CollectorRegistry

from service.errors import UnavailableError
from service.jobs.record import Bounds, JobSpec, Outcome
from service.jobs.redis_store import RedisStore
from service.observability.metrics import Metrics

SIZES = (1_000, 100_000, 1_000_000)


async def measure(store: RedisStore, size: int, count: int) -> list[float]:
    """Return the milliseconds of each job."""
    body, found = os.urandom(size), []
    for number in range(count):
        spec = JobSpec("upscale", body, {}, 0.1, owner="a", key=f"{size}-{number}", fingerprint="f")
        begin = time.perf_counter()
        job, _ = await store.add(spec)
        await store.start()
        await store.report({(job.identity, 1): {"begun": True}})
        await store.finish(job.identity, 1, Outcome("done", {}, body))
        await store.result(job.identity)
        found.append(1000 * (time.perf_counter() - begin))
        await store.remove(job.identity)
    return found


async def table(port: int, count: int) -> None:
    """Print the table."""
    bounds = Bounds(10_000, 2**30, 600, 15, 3)
    store = RedisStore(f"redis://127.0.0.1:{port}/0", bounds, {}, {}, Metrics(CollectorRegistry()))
    while True:
        try:
            await store.sweep()
            break
        except UnavailableError:
            await asyncio.sleep(0.1)
    print("| payload bytes | p50 ms | p95 ms |\n|---|---|---|")
    for size in SIZES:
        found = sorted(await measure(store, size, count))
        print(f"| {size:,} | {statistics.median(found):.2f} | {found[int(0.95 * len(found))]:.2f} |")
    await store.close()


def main() -> None:
    """Start Redis, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=150)
    options = parser.parse_args()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        command = ["redis-server", "--port", str(port), "--dir", folder, "--save", "", "--appendonly", "yes"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            try:
                asyncio.run(table(port, options.jobs))
            finally:
                process.kill()


if __name__ == "__main__":
    main()
