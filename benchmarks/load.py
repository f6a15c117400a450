"""Clients: so many at a time (closed loop), or as they come (open loop). Against loopback only."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np


@dataclass(frozen=True)
class Request:
    """A POST: what follows the address, the body, and the megapixels of the picture in it."""

    target: str
    body: bytes
    megapixels: float


@dataclass(frozen=True)
class Sample:
    """What became of one: seconds since the load began, and how long it took. status 0: the connection broke."""

    start: float
    seconds: float
    status: int
    megapixels: float
    headers: dict[str, str]


def closed(address: str, requests: list[Request], concurrency: int, seconds: float) -> list[Sample]:
    """So many clients, each sending its next request when it has its answer, until `seconds` have passed."""

    async def clients(send: Callable[[Request], Coroutine[Any, Any, None]], elapsed: Callable[[], float]) -> None:
        waiting = iter(range(10**9))

        async def client() -> None:
            while elapsed() < seconds:
                await send(requests[next(waiting) % len(requests)])

        await asyncio.gather(*(client() for _ in range(concurrency)))

    return asyncio.run(_load(address, clients))


def opened(address: str, requests: list[Request], per_second: float, seconds: float, seed: int = 0) -> list[Sample]:
    """Requests that come at random (Poisson), whether or not the ones before are answered."""

    async def arrivals(send: Callable[[Request], Coroutine[Any, Any, None]], elapsed: Callable[[], float]) -> None:
        generator = np.random.default_rng(seed)
        due, sent = 0.0, []
        for i in range(10**9):
            due += generator.exponential(1 / per_second)
            if due > seconds:
                break
            await asyncio.sleep(max(0.0, due - elapsed()))
            sent.append(asyncio.create_task(send(requests[i % len(requests)])))
        await asyncio.gather(*sent)

    return asyncio.run(_load(address, arrivals))


async def _load(address: str, drive: Callable[..., Coroutine[Any, Any, None]]) -> list[Sample]:
    assert urlsplit(address).hostname in {"127.0.0.1", "localhost", "::1"}, "load goes to this machine only"
    samples: list[Sample] = []
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=256)
    async with httpx.AsyncClient(base_url=address, timeout=300, trust_env=False, limits=limits) as client:
        begun = time.perf_counter()

        async def send(request: Request) -> None:
            start = time.perf_counter()
            try:
                response = await client.post(request.target, content=request.body)
                status, headers = response.status_code, dict(response.headers)
            except httpx.TransportError:
                status, headers = 0, {}
            end = time.perf_counter()
            samples.append(Sample(start - begun, end - start, status, request.megapixels, headers))

        await drive(send, lambda: time.perf_counter() - begun)
    return samples


def rate(samples: list[Sample], since: float = 0.0) -> float:
    """Answered megapixels per second, from the first answer after `since` to the last one."""
    done = sorted((s.start + s.seconds, s.megapixels) for s in samples if s.status == 200)
    done = [(at, megapixels) for at, megapixels in done if at >= since]
    span = done[-1][0] - done[0][0]
    return sum(megapixels for _, megapixels in done[1:]) / span


def quantile(samples: list[Sample], share: float) -> float:
    """Seconds within which that share of the answered requests was answered."""
    return float(np.quantile([s.seconds for s in samples if s.status == 200], share))


def statuses(samples: list[Sample]) -> dict[int, int]:
    """How many answers of each status."""
    return {status: sum(s.status == status for s in samples) for status in sorted({s.status for s in samples})}
