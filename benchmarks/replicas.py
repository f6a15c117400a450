"""One, two and four service processes behind nginx with jobs in Redis: real processes on this machine.

    python benchmarks/replicas.py [--processes 1,2,4] [--seconds 30] [--results docs/results.md]

Measures in-line requests, jobs, a quiet owner beside one that floods, and what becomes of jobs while each process is
killed in turn; and, of one process without nginx, in-line requests with jobs in memory and in Redis. Takes about ten
minutes of an otherwise idle machine. Needs nginx and redis-server.
"""

import argparse
import asyncio
import math
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx
from engine import ROOT, Row, machine, table
from fleet import LEASE_SECONDS, OWNERS, Fleet, Owner, threads
from load import Request, closed, quantile, rate, statuses
from pictures import jpeg, mixed
from server import redis, running

from service.jobs.redis_calls import PREFIX
from trainer.evaluation.sections import write_section

STYLE = "/stylize?style=mosaic&stroke=off&format=jpeg"
COUNT, CLIENTS, FLOOD, WORKING = 24, 8, 24, 16
KEPT = ("jobs", "own results", "different jobs", "404 to the other owner")
"""Numbers that are equal if no job is lost, and none is answered twice or to another owner."""

LEAST_MEGAPIXELS, MOST_MEGAPIXELS, SMALL_MEGAPIXELS = 0.05, 1.3, 0.3
ROUNDS = 3


def requests(most: float = MOST_MEGAPIXELS) -> list[Request]:
    """Make photographs of mixed sizes."""
    images = mixed(COUNT, LEAST_MEGAPIXELS, most)
    return [Request(STYLE, jpeg(image), image.width * image.height / 1e6) for image in images]


def inline(fleet: Fleet, seconds: float) -> tuple[float, float]:
    """Return megapixels/s and p95 in seconds of in-line requests."""
    headers = {"Authorization": f"Bearer {OWNERS['quiet']}"}
    asked = [replace(each, headers=headers) for each in requests()]
    closed(fleet.address, asked, CLIENTS, seconds / 3)
    samples = closed(fleet.address, asked, CLIENTS, seconds)
    assert set(statuses(samples)) == {200}, statuses(samples)
    return rate(samples), quantile(samples, 0.95)


@asynccontextmanager
async def owners(fleet: Fleet) -> AsyncIterator[dict[str, Owner]]:
    """Open connections for each owner."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
    async with httpx.AsyncClient(base_url=fleet.address, timeout=60, trust_env=False, limits=limits) as client:
        yield {name: Owner(client, name) for name in OWNERS}


async def jobs(fleet: Fleet, count: int) -> float:
    """Return the megapixels/s of jobs that are all sent at once, from the first request to the last result."""
    asked = requests()
    async with owners(fleet) as found:
        begin, left = time.perf_counter(), iter(range(count))
        paths: dict[int, str] = {}

        async def send() -> None:
            for number in left:
                paths[number] = await found["flood"].send(asked[number % COUNT], f"jobs-{number}")

        await asyncio.gather(*(send() for _ in range(CLIENTS)))
        for path in paths.values():
            await found["flood"].collect(path, 0.1)
        elapsed = time.perf_counter() - begin
    return sum(asked[number % COUNT].megapixels for number in range(count)) / elapsed


async def fairness(fleet: Fleet, count: int) -> tuple[list[float], list[float]]:
    """Return the seconds of an owner's jobs, one after the other: alone, and beside an owner with 24 jobs at a time."""
    asked = requests(SMALL_MEGAPIXELS)
    async with owners(fleet) as found:

        async def ask(owner: str, name: str, number: int, every: float) -> float:
            begin = time.perf_counter()
            path = await found[owner].send(asked[number % COUNT], name)
            await found[owner].collect(path, every)
            return time.perf_counter() - begin

        async def flood(client: int) -> None:
            for number in range(10**9):
                await ask("flood", f"flood-{client}-{number}", client, 0.5)

        alone = [await ask("quiet", f"alone-{number}", number, 0.05) for number in range(count)]
        async with asyncio.TaskGroup() as group:
            clients = [group.create_task(flood(number)) for number in range(FLOOD)]
            await asyncio.sleep(2)
            beside = [await ask("quiet", f"beside-{number}", number, 0.05) for number in range(count)]
            for client in clients:
                client.cancel()
    return alone, beside


async def kills(fleet: Fleet, store_port: int, seconds: float) -> Row:
    """Kill each process once, while both owners send jobs; count what became of the jobs."""
    asked = requests(SMALL_MEGAPIXELS)
    async with owners(fleet) as found:
        expected = [await _result(found["quiet"], each, f"undisturbed-{which}") for which, each in enumerate(asked)]
        jobs: list[tuple[str, str, bool]] = []
        over = asyncio.Event()

        async def work(name: str, client: int) -> None:
            number = client
            while not over.is_set():
                which = number % COUNT
                path = await found[name].send(asked[which], f"kill-{number}")
                jobs.append((name, path, await found[name].collect(path, 0.25) == expected[which]))
                number += WORKING

        async with asyncio.TaskGroup() as group:
            for client in range(WORKING):
                group.create_task(work(list(OWNERS)[client % 2], client))
            for which in range(fleet.count):
                await asyncio.sleep(seconds / 4)
                await asyncio.to_thread(fleet.replace, which)
            await asyncio.sleep(seconds / 4)
            over.set()
        seen = [await found[_other(name)].status(path) for name, path, _ in jobs]
    return {
        "jobs": str(len(jobs)),
        "own results": str(sum(right for *_, right in jobs)),
        "different jobs": str(len({path for _, path, _ in jobs})),
        "404 to the other owner": str(seen.count(404)),
        "started twice": str(await _started_again(store_port, [path for _, path, _ in jobs])),
    }


async def _result(owner: Owner, request: Request, name: str) -> bytes:
    return await owner.collect(await owner.send(request, name), 0.05)


def _other(name: str) -> str:
    [other] = OWNERS.keys() - {name}
    return other


async def _started_again(store_port: int, paths: list[str]) -> int:
    """Count the jobs that more than one process has started."""
    from redis.asyncio import Redis  # noqa: PLC0415  # `redis` is a Redis that runs, here

    async with Redis(port=store_port) as store:
        names = [f"{PREFIX}job:{path.rpartition('/')[2]}" for path in paths]
        return sum([int(await store.hget(name, "attempt")) > 1 for name in names])


def measure(count: int, seconds: float, checkpoints: Path) -> tuple[Row, Row]:
    """Measure some processes; return the row of speeds, and that of kills."""
    with tempfile.TemporaryDirectory() as name, redis() as store_port:
        folder = Path(name)
        with Fleet(folder, count, store_port, checkpoints).started(folder) as fleet:
            speed, p95 = inline(fleet, seconds)
            mean = statistics.mean(each.megapixels for each in requests())
            job_speed = asyncio.run(jobs(fleet, min(500, math.ceil(seconds * speed / mean))))
            alone, beside = asyncio.run(fairness(fleet, max(4, round(seconds))))
            killed = asyncio.run(kills(fleet, store_port, seconds))
    row: Row = {
        "processes": str(count),
        "threads of each": str(threads(count)),
        "in-line, MP/s": speed,
        "p95 in-line, s": p95,
        "jobs, MP/s": job_speed,
        "p50 of a quiet owner's jobs, s": statistics.median(alone),
        "p50 beside a flood, s": statistics.median(beside),
        "times": statistics.median(beside) / statistics.median(alone),
    }
    return row, {"processes": str(count), "killed": str(count), **killed}


def stores(seconds: float, checkpoints: Path) -> list[Row]:
    """Measure p50 and p95 of one client of one process, in turn with jobs in memory and in Redis."""
    asked = requests(SMALL_MEGAPIXELS)
    found: dict[str, list[float]] = {"memory": [], "Redis": []}
    with redis() as store_port:
        for _ in range(ROUNDS):
            for name, samples in found.items():
                given = {} if name == "memory" else {"job_store": f"redis://127.0.0.1:{store_port}/0"}
                with running(checkpoints=checkpoints, cache_bytes=0, **given) as service:
                    closed(service.address, asked, 1, seconds / 6)
                    sent = closed(service.address, asked, 1, seconds / 3)
                    samples += [1000 * each.seconds for each in sent]
    return [
        {
            "jobs in": name,
            "requests": str(len(each)),
            "p50, ms": statistics.median(each),
            "p95, ms": sorted(each)[int(0.95 * len(each))],
        }
        for name, each in found.items()
    ]


def document(speeds: list[Row], killed: list[Row], latencies: list[Row]) -> str:
    """Return the section of docs/results.md."""
    kept = all(len({row[name] for name in KEPT}) == 1 for row in killed)
    ratio = float(latencies[1]["p50, ms"]) / float(latencies[0]["p50, ms"])
    return "\n".join(
        [
            "## Several processes",
            "",
            f"`python benchmarks/replicas.py --results docs/results.md`, {machine()}.",
            "Processes, nginx (`docker/nginx/nginx.conf`), Redis and clients share the machine. In-line requests:",
            f"{CLIENTS} clients, photographs of {LEAST_MEGAPIXELS:g} to {MOST_MEGAPIXELS:g} megapixels, `mosaic`.",
            f"A quiet owner has one job at a time, up to {SMALL_MEGAPIXELS:g} megapixels, and the flood {FLOOD}.",
            "",
            table(speeds),
            "",
            f"Each process is killed (SIGKILL) in turn, and replaced, while {WORKING} clients of two owners send jobs.",
            f"A lease has {LEASE_SECONDS:g} s.",
            "",
            table(killed),
            "",
            f"Target, every job answered once, to its owner, with the bytes of an undisturbed one: {_met(kept)}.",
            "",
            "One client of one process without nginx:",
            "",
            table(latencies),
            "",
            f"Target, in-line latency unchanged by the job store: {_met(ratio <= 1.05)}, {ratio:.2f} times.",
        ]
    )


def _met(met: bool) -> str:
    return "met" if met else "missed"


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", default="1,2,4")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--checkpoints", type=Path, default=ROOT / "checkpoints")
    parser.add_argument("--results", type=Path)
    options = parser.parse_args()
    counts = [int(count) for count in options.processes.split(",")]
    rows = []
    for count in counts:
        rows.append(measure(count, options.seconds, options.checkpoints))
        print(rows[-1], flush=True)
    speeds, killed = zip(*rows, strict=True)
    text = document(list(speeds), list(killed), stores(options.seconds, options.checkpoints))
    print(text)
    if options.results:
        write_section(options.results, "benchmarks/replicas.py", text)


if __name__ == "__main__":
    main()
