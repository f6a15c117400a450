"""Service processes behind nginx, with their jobs in one Redis, and owners of jobs."""

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
from load import Request
from nginx import nginx
from server import Service, free_port, running

from service.auth.key_file import digest_of

OWNERS = {name: f"impasto_key-of-{name}-for-a-benchmark" for name in ("quiet", "flood")}
MOST_JOBS = 1000
LEASE_SECONDS = 5.0
_RETRY_SECONDS = 0.1
_MOST_SECONDS = 600.0
"""A client gives up after that: a job is lost."""


class Fleet:
    """`address` of nginx, and the processes."""

    def __init__(self, folder: Path, count: int, store_port: int, checkpoints: Path) -> None:
        """Start nothing yet. folder: for keys. store_port: of Redis."""
        self._port, self.count = free_port(), count
        self._hosts = [f"127.0.0.{number}" for number in range(2, 2 + count)]
        self._settings: dict[str, object] = {
            "keys_file": _write_keys(folder / "keys"),
            "job_store": f"redis://127.0.0.1:{store_port}/0",
            "job_lease_seconds": LEASE_SECONDS,
            "job_attempts": 20,
            "max_jobs": MOST_JOBS,
            "max_job_bytes": 2**30,
            "checkpoints": checkpoints,
            "codec_threads": 1,
            "cache_bytes": 0,
            "port": self._port,
        }
        self._stacks = [ExitStack() for _ in range(count)]
        self._services: list[Service] = []
        self.address = ""

    @contextmanager
    def started(self, folder: Path) -> Iterator["Fleet"]:
        """Start the processes and nginx. Each process has its share of the cores, as OMP_NUM_THREADS."""
        before = os.environ.get("OMP_NUM_THREADS")
        os.environ["OMP_NUM_THREADS"] = str(threads(self.count))
        try:
            with ExitStack() as stack:
                for each in self._stacks:
                    stack.push(each)
                self._services = [self._start(which) for which in range(self.count)]
                self.address = stack.enter_context(nginx(folder, self._port, *self._hosts))
                yield self
        finally:
            if before is None:
                del os.environ["OMP_NUM_THREADS"]
            else:
                os.environ["OMP_NUM_THREADS"] = before

    def replace(self, which: int) -> None:
        """Kill a process with SIGKILL, and start another in its place. Returns when that one serves."""
        self._services[which].process.kill()
        self._stacks[which].close()
        self._services[which] = self._start(which)

    def _start(self, which: int) -> Service:
        return self._stacks[which].enter_context(running(host=self._hosts[which], **self._settings))


class Owner:
    """Whoever has one key: it sends jobs, and again while no process responds, and fetches their results."""

    def __init__(self, client: httpx.AsyncClient, name: str) -> None:
        self._client, self.headers = client, {"Authorization": f"Bearer {OWNERS[name]}"}

    async def send(self, request: Request, name: str) -> str:
        """Send a job and return its path. name: as Idempotency-Key, so that it is one job however often it is sent."""
        headers = {"Prefer": "respond-async", "Idempotency-Key": name}
        answer = await self._ask("POST", request.target, 202, headers, request.body)
        return answer.headers["location"]

    async def collect(self, path: str, every: float) -> bytes:
        """Wait until a job is done, asking `every` so many seconds, and return its result."""
        job = (await self._ask("GET", path, 200)).json()
        while job["state"] in {"queued", "running"}:
            await asyncio.sleep(every)
            job = (await self._ask("GET", path, 200)).json()
        assert job["state"] == "done", job
        return (await self._ask("GET", f"{path}/result", 200)).content

    async def status(self, path: str) -> int:
        """Return the status of a request for a job."""
        return (await self._client.get(path, headers=self.headers)).status_code

    async def _ask(
        self, method: str, path: str, expected: int, headers: dict[str, str] | None = None, body: bytes | None = None
    ) -> httpx.Response:
        """Return the expected response. Asks again as long as there is none, or one that says so."""
        until = time.monotonic() + _MOST_SECONDS
        while time.monotonic() < until:
            with suppress(httpx.TransportError):
                answer = await self._client.request(
                    method, path, content=body, headers={**self.headers, **(headers or {})}
                )
                if answer.status_code == expected:
                    return answer
                assert answer.status_code in {429, 502, 503, 504}, f"{method} {path}: {answer.text}"
            await asyncio.sleep(_RETRY_SECONDS)
        raise AssertionError(f"no process answers {method} {path}")


def threads(count: int) -> int:
    """Return the threads of each of some processes: its share of the cores, and at least one."""
    return max(1, len(os.sched_getaffinity(0)) // count)


def _write_keys(path: Path) -> Path:
    lines = [
        f'[keys.{name}]\nsha256 = "{digest_of(key).hex()}"\nscopes = ["transform"]\n' for name, key in OWNERS.items()
    ]
    path.write_text("\n".join(lines))
    path.chmod(0o600)
    return path
