"""The time that the job store in Redis takes for one job: its overhead beside the network.

    python benchmarks/job_store.py [--jobs 300] [--results docs/results.md]

One process adds a job, starts it, reports, stores the result and fetches it, over a redis-server of its own with an
append-only file. Payload and result have the same size. Takes ten seconds of an otherwise idle machine.
"""

import argparse
import asyncio
import os
import statistics
import time
from pathlib import Path

import numpy as np
from engine import Row, machine, table
from pictures import photograph
from prometheus_client import CollectorRegistry
from server import redis

from service.jobs.record import Bounds, JobSpec, Outcome
from service.jobs.redis_store import RedisStore
from service.observability.metrics import Metrics
from trainer.evaluation.sections import write_section

SIZES = (1_000, 100_000, 300_000, 1_000_000)
STEPS = ("add", "start", "report", "finish", "result")
TARGET_MS = 5.0


async def job(store: RedisStore, number: int, body: bytes) -> dict[str, float]:
    """Return the milliseconds of each step of a job."""
    spec = JobSpec("upscale", body, {}, 0.1, owner="a", key=f"{len(body)}-{number}", fingerprint="f")
    times = [time.perf_counter()]
    added, _ = await store.add(spec)
    times.append(time.perf_counter())
    await store.start()
    times.append(time.perf_counter())
    await store.report({(added.identity, 1): {"begun": True}})
    times.append(time.perf_counter())
    await store.finish(added.identity, 1, Outcome("done", {}, body))
    times.append(time.perf_counter())
    await store.result(added.identity)
    times.append(time.perf_counter())
    await store.remove(added.identity)
    return {step: 1000 * (after - before) for step, before, after in zip(STEPS, times, times[1:], strict=False)}


async def measure(port: int, count: int) -> list[Row]:
    """Return a row for each size."""
    bounds = Bounds(10_000, 2**30, 600, 15, 3)
    store = RedisStore(f"redis://127.0.0.1:{port}/0", bounds, {}, {}, Metrics(CollectorRegistry()))
    # As in a service: after an image of megabytes, the allocator keeps memory of that size.
    np.asarray(photograph(2000, 1500))
    rows: list[Row] = []
    for size in SIZES:
        body = os.urandom(size)
        found = [await job(store, number, body) for number in range(count)]
        whole = sorted(sum(each.values()) for each in found)
        steps = {f"{step}, ms": statistics.median(each[step] for each in found) for step in STEPS}
        quantiles = {"p50, ms": statistics.median(whole), "p95, ms": whole[int(0.95 * count)]}
        rows.append({"bytes of each": f"{size:,}", **quantiles, **steps})
    await store.close()
    return rows


def document(rows: list[Row]) -> str:
    """Return the section of docs/results.md."""
    most = max(float(row["p50, ms"]) for row in rows)
    return "\n".join(
        [
            "## Jobs in Redis",
            "",
            f"`python benchmarks/job_store.py --results docs/results.md`, {machine()}.",
            "The time of one job without its network: redis-server with an append-only file on the same machine.",
            "",
            table(rows),
            "",
            f"Target, {TARGET_MS:g} ms (p50): {'met' if most < TARGET_MS else 'missed'}, at most {most:.1f} ms.",
        ]
    )


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=300)
    parser.add_argument("--results", type=Path)
    options = parser.parse_args()
    with redis() as port:
        text = document(asyncio.run(measure(port, options.jobs)))
    print(text)
    if options.results:
        write_section(options.results, "benchmarks/job_store.py", text)


if __name__ == "__main__":
    main()
