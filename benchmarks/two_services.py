"""Two real services on loopback, each with half of the cores, under the arrivals of a simulation."""

import asyncio
import io
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image
from simulation import Costs, Kind, Limits, Simulation, arrivals

LOADS = (0.4, 0.7)
"""Shares of the capacity of the two services."""

_QUERIES = {"stylize": "stylize?style=mosaic&stroke=off", "upscale": "upscale?factor=4"}  # one network each: a line
_REPEATS = 5


def compare(checkpoints: Path, seconds: float, mix: list[Kind]) -> tuple[Costs, list[dict[str, Any]]]:
    """Return the costs of this machine, and measured and simulated latencies at each of LOADS."""
    with ExitStack() as stack:
        addresses = [stack.enter_context(_service(checkpoints)) for _ in range(2)]
        pictures = {kind: _picture(kind.pixels) for kind in mix}
        costs = _fit(asyncio.run(_calibrate(addresses, pictures)))
        mean = sum(kind.share * kind.pixels for kind in mix)
        most = 2 * mean / sum(kind.share * costs.seconds(kind) for kind in mix) / 1e6
        rows = []
        for seed, share in enumerate(LOADS):
            load = arrivals([(seconds, share * most)], mix, seed)
            measured = asyncio.run(_press(addresses, pictures, load, seed))
            simulated = [latency for _, latency in Simulation(costs, Limits(), 2, seed=seed).run(load).latencies]
            row: dict[str, Any] = {"load": share, "megapixels/s": share * most, "requests": len(load)}
            for name, q in (("p50", 0.5), ("p95", 0.95)):
                row[f"{name} s, measured"] = float(np.quantile(measured, q))
                row[f"{name} s, simulated"] = float(np.quantile(simulated, q))
            rows.append(row | {"refused": len(load) - len(measured)})
    return costs, rows


@contextmanager
def _service(checkpoints: Path) -> Iterator[str]:
    """Run a service on a free port; yields its address."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("IMPASTO_")}
    settings = {
        "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 2) // 2)),
        "IMPASTO_PORT": "0",
        "IMPASTO_CHECKPOINTS": str(checkpoints),
        "IMPASTO_DEVICE": "cpu",
        "IMPASTO_CODEC_THREADS": "1",
        "IMPASTO_LOG_LEVEL": "warning",
    }
    command = [sys.executable, "-u", "-m", "service"]
    with subprocess.Popen(command, env=kept | settings, stdout=subprocess.PIPE, text=True) as process:
        try:
            for line in process.stdout or ():
                if match := re.search(r"listens on (\S+)", line):
                    yield match[1]
                    break
            else:
                sys.exit("a service ended before it listened")
        finally:
            process.send_signal(signal.SIGTERM)


def _picture(pixels: int) -> bytes:
    """Make a square JPEG: a gradient with a little noise."""
    side = round(pixels**0.5)
    y, x = np.mgrid[0:side, 0:side]
    base = np.stack([255 * x / side, 255 * y / side, 128 + 0 * x], axis=-1)
    noise = np.random.default_rng(0).normal(0, 6, base.shape)
    buffer = io.BytesIO()
    Image.fromarray((base + noise).clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _client() -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=100)
    return httpx.AsyncClient(timeout=300, trust_env=False, limits=limits)


async def _calibrate(addresses: list[str], pictures: dict[Kind, bytes]) -> list[tuple[Kind, dict[str, float]]]:
    """Return Server-Timing of each kind, one request at a time on each service, both at once."""

    async def one_by_one(
        client: httpx.AsyncClient, address: str, order: int, repeats: int
    ) -> list[tuple[Kind, dict[str, float]]]:
        tries = [kind for kind in pictures for _ in range(repeats)]
        random.Random(order).shuffle(tries)  # noqa: S311  # an order, no secret
        found = []
        for kind in tries:
            answer = await client.post(f"{address}/{_QUERIES[kind.model]}", content=pictures[kind])
            answer.raise_for_status()
            stages = re.findall(r"(\w+);dur=([\d.]+)", answer.headers["server-timing"])
            found.append((kind, {stage: float(value) / 1000 for stage, value in stages}))
        return found

    async with _client() as client:
        await asyncio.gather(*(one_by_one(client, address, 0, 1) for address in addresses))  # warm up
        found = await asyncio.gather(*(one_by_one(client, address, i, _REPEATS) for i, address in enumerate(addresses)))
    return [each for some in found for each in some]


def _fit(found: list[tuple[Kind, dict[str, float]]]) -> Costs:
    """Fit a line per model through the medians, by relative least squares; through the origin for one size."""
    forward = {}
    for model in {kind.model for kind, _ in found}:
        sizes = sorted({kind.pixels for kind, _ in found if kind.model == model})
        times = [
            np.median([t["forward"] for kind, t in found if (kind.model, kind.pixels) == (model, size)])
            for size in sizes
        ]
        x, y = np.array(sizes, float), np.array(times)
        each, start = np.polyfit(x, y, 1, w=1 / y) if len(sizes) > 1 else (y[0] / x[0], 0.0)
        forward[model] = (float(start), float(each)) if start > 0 else (0.0, float((y / x).mean()))
    codec = [(t["decode"] + t["encode"]) / (kind.pixels * (1 + kind.growth)) for kind, t in found]
    return Costs(forward, float(np.median(codec)))


async def _press(
    addresses: list[str], pictures: dict[Kind, bytes], load: list[tuple[float, Kind]], seed: int
) -> list[float]:
    """Send each request at its time, whatever the outcome of the others. Returns the seconds of successful ones."""
    choice = np.random.default_rng([seed, 1])  # as the simulation draws
    start = time.perf_counter()

    async def one(client: httpx.AsyncClient, address: str, kind: Kind) -> float | None:
        begun = time.perf_counter()
        answer = await client.post(f"{address}/{_QUERIES[kind.model]}", content=pictures[kind])
        return time.perf_counter() - begun if answer.status_code == 200 else None

    async with _client() as client, asyncio.TaskGroup() as group:
        tasks = []
        for moment, kind in load:
            await asyncio.sleep(max(0.0, start + moment - time.perf_counter()))
            address = addresses[choice.integers(len(addresses))]
            tasks.append(group.create_task(one(client, address, kind)))
    return [latency for task in tasks if (latency := task.result()) is not None]
