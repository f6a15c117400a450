"""Load generators: a closed loop of clients, or an open loop of arrivals. By default only to loopback."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np

_LONGEST_SECONDS = 1800
"""The largest pictures take minutes."""


@dataclass(frozen=True)
class Request:
    """A POST: the target after the address, the body, the megapixels of its image, and headers."""

    target: str
    body: bytes
    megapixels: float
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Sample:
    """The outcome of a request: seconds since the start of the load, and its duration.

    status 0: the connection broke, or the client disconnected. which: index of the request in the list. answer: the
    body, if it was kept.
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
    """Behaviour of the clients. patience: seconds until a client disconnects. keep: whether to keep the bodies.

    anywhere: whether the load may go to another machine.
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
    """Run clients that each send the next request after a response, for `seconds` or for `count` requests in all."""

    async def drive(send: Callable[[int], Coroutine[Any, Any, None]], elapsed: Callable[[], float]) -> None:
        waiting = iter(range(10**9 if count is None else count))

        async def client() -> None:
            while (elapsed() < seconds or count is not None) and (i := next(waiting, None)) is not None:
                await send(i % len(requests))

        await asyncio.gather(*(client() for _ in range(concurrency)))

    return asyncio.run(_load(address, requests, clients, drive))


def poisson(per_second: float, seconds: float, seed: int) -> Iterator[float]:
    """Yield the arrival times, in seconds from the start, of a Poisson process."""
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
    """Send requests at Poisson arrivals, whether or not earlier ones were answered."""

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
    async with httpx.AsyncClient(base_url=address, timeout=_LONGEST_SECONDS, trust_env=False, limits=limits) as client:
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
    """Return the completed megapixels per second, from the first response after `since` to the last."""
    done = sorted((s.start + s.seconds, s.megapixels) for s in samples if s.status == 200)
    done = [(at, megapixels) for at, megapixels in done if at >= since]
    span = done[-1][0] - done[0][0]
    return sum(megapixels for _, megapixels in done[1:]) / span


def quantile(samples: list[Sample], share: float) -> float:
    """Return a quantile of the duration of successful requests, in seconds; NaN if there are none."""
    answered = [s.seconds for s in samples if s.status == 200]
    return float(np.quantile(answered, share)) if answered else float("nan")


def in_time(samples: list[Sample], deadline: float) -> list[Sample]:
    """Return the samples that were answered within the deadline, in seconds."""
    return [s for s in samples if s.status == 200 and s.seconds <= deadline]


def statuses(samples: list[Sample]) -> dict[int, int]:
    """Count the responses of each status."""
    return {status: sum(s.status == status for s in samples) for status in sorted({s.status for s in samples})}
