"""Clients: so many at a time (closed loop), or as they come (open loop). Against loopback, unless told otherwise."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np


@dataclass(frozen=True)
class Request:
    """A POST: what follows the address, the body, the megapixels of the picture in it, and headers."""

    target: str
    body: bytes
    megapixels: float
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Sample:
    """What became of one: seconds since the load began, and how long it took. status 0: the connection broke, or the
    client's patience ended. which: the request's place in the list; answer: the body, where it was kept.
    """

    start: float
    seconds: float
    status: int
    megapixels: float
    headers: dict[str, str]
    which: int = 0
    answer: bytes = b""


@dataclass(frozen=True)
class Clients:
    """How clients behave. patience: seconds after which one hangs up. keep: whether answers' bodies are kept.
    anywhere: whether the load may go to another machine than this.
    """

    patience: float = 300.0
    keep: bool = False
    anywhere: bool = False


def closed(
    address: str,
    requests: list[Request],
    concurrency: int,
    seconds: float,
    count: int | None = None,
    clients: Clients = Clients(),  # frozen
) -> list[Sample]:
    """So many clients, each sending its next request when it has its answer, until `seconds` have passed; or until
    `count` requests have been sent.
    """

    async def drive(send: Callable[[int], Coroutine[Any, Any, None]], elapsed: Callable[[], float]) -> None:
        waiting = iter(range(10**9 if count is None else count))

        async def client() -> None:
            while (elapsed() < seconds or count is not None) and (i := next(waiting, None)) is not None:
                await send(i % len(requests))

        await asyncio.gather(*(client() for _ in range(concurrency)))

    return asyncio.run(_load(address, requests, clients, drive))


def poisson(per_second: float, seconds: float, seed: int) -> Iterator[float]:
    """Moments at which requests come, in seconds from the start: the gaps between them are exponential."""
    generator = np.random.default_rng(seed)
    due = float(generator.exponential(1 / per_second))
    while due <= seconds:
        yield due
        due += float(generator.exponential(1 / per_second))


def opened(
    address: str,
    requests: list[Request],
    per_second: float,
    seconds: float,
    seed: int = 0,
    clients: Clients = Clients(),  # frozen
) -> list[Sample]:
    """Requests that come at random (Poisson), whether or not the ones before are answered."""

    async def drive(send: Callable[[int], Coroutine[Any, Any, None]], elapsed: Callable[[], float]) -> None:
        sent = []
        for i, due in enumerate(poisson(per_second, seconds, seed)):
            await asyncio.sleep(max(0.0, due - elapsed()))
            sent.append(asyncio.create_task(send(i % len(requests))))
        await asyncio.gather(*sent)

    return asyncio.run(_load(address, requests, clients, drive))


async def _load(
    address: str, requests: list[Request], clients: Clients, drive: Callable[..., Coroutine[Any, Any, None]]
) -> list[Sample]:
    here = urlsplit(address).hostname in {"127.0.0.1", "localhost", "::1"}
    assert here or clients.anywhere, "load goes to this machine only"
    samples: list[Sample] = []
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=256)
    async with httpx.AsyncClient(base_url=address, timeout=300, trust_env=False, limits=limits) as client:
        begun = time.perf_counter()

        async def send(which: int) -> None:
            request, answer = requests[which], b""
            start = time.perf_counter()
            try:
                async with asyncio.timeout(clients.patience):
                    response = await client.post(request.target, content=request.body, headers=dict(request.headers))
                status, headers = response.status_code, dict(response.headers)
                answer = response.content if clients.keep else b""
            except (httpx.TransportError, TimeoutError):
                status, headers = 0, {}
            end = time.perf_counter()
            samples.append(Sample(start - begun, end - start, status, request.megapixels, headers, which, answer))

        await drive(send, lambda: time.perf_counter() - begun)
    return samples


def rate(samples: list[Sample], since: float = 0.0) -> float:
    """Answered megapixels per second, from the first answer after `since` to the last one."""
    done = sorted((s.start + s.seconds, s.megapixels) for s in samples if s.status == 200)
    done = [(at, megapixels) for at, megapixels in done if at >= since]
    span = done[-1][0] - done[0][0]
    return sum(megapixels for _, megapixels in done[1:]) / span


def quantile(samples: list[Sample], share: float) -> float:
    """Seconds within which that share of the answered requests was answered; NaN where none was."""
    answered = [s.seconds for s in samples if s.status == 200]
    return float(np.quantile(answered, share)) if answered else float("nan")


def in_time(samples: list[Sample], deadline: float) -> list[Sample]:
    """Those answered within so many seconds."""
    return [s for s in samples if s.status == 200 and s.seconds <= deadline]


def statuses(samples: list[Sample]) -> dict[int, int]:
    """How many answers of each status."""
    return {status: sum(s.status == status for s in samples) for status in sorted({s.status for s in samples})}
