"""Replicas as processes over one Redis that are killed in turn, while Redis restarts: no job is lost."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Event

import httpx
import numpy as np

from tests.conftest import decoded, encoded, save_net, tiny_upscaler
from tests.keys import ALICE, BOB, bearer, write_keys
from tests.service.auth.test_quotas import free_port, redis
from tests.service.engine.test_isolation import doubled
from tests.service.jobs.replica import FIRST_CODE, coded_picture

ROOT = Path(__file__).parents[3]
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGKILL)
"""What ends a replica; for each signal, the next one."""

REPLICAS = 3
OWNERS = {"alice": ALICE, "bob": BOB, "carol": "impasto_key-of-carol-for-a-test"}
REDIS = ["--appendonly", "yes"]
RESTARTS = {1, 6}
"""Turns in which Redis is killed too, and restarted a second later."""


class Fleet:
    """The processes. stopped: the ids of those that were ended. Others take their ports."""

    def __init__(self, environment, replicas=REPLICAS):
        self.environment, self.ports = environment, [free_port() for _ in range(replicas)]
        self.stopped = set()
        self.processes = [self._start(port) for port in self.ports]

    def _start(self, port):
        command = [sys.executable, "-m", "tests.service.jobs.replica"]
        environment = self.environment | {"IMPASTO_PORT": str(port)}
        return subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL)

    def replace(self, which, number):
        """End a process with a signal, once it serves, and start another."""
        self.wait_for(which)
        process = self.processes[which]
        self.stopped.add(process.pid)
        process.send_signal(number)
        process.wait()
        self.processes[which] = self._start(self.ports[which])

    def wait_for(self, which):
        while True:
            assert self.processes[which].poll() is None
            with suppress(httpx.TransportError):
                if httpx.get(f"http://127.0.0.1:{self.ports[which]}/readyz", trust_env=False).status_code == 200:
                    return
            time.sleep(0.2)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()


class Client:
    """An owner that asks any replica, and asks again while none responds."""

    def __init__(self, owner, ports, most_seconds=600):
        headers = bearer(OWNERS[owner]) if owner else {}
        self.client, self.ports = httpx.Client(headers=headers, timeout=10, trust_env=False), ports
        self.until = time.monotonic() + most_seconds

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.close()

    def ask(self, method, path, **options):
        while time.monotonic() < self.until:
            url = f"http://127.0.0.1:{random.choice(self.ports)}{path}"
            try:
                response = self.client.request(method, url, **options)
            except httpx.TransportError:
                time.sleep(0.1)
                continue
            if response.status_code != 503:
                return response
            time.sleep(0.1)
        raise AssertionError(f"no replica answers {method} {path}")

    def post(self, code, **query):
        headers = {"Prefer": "respond-async", "Idempotency-Key": str(code)}
        query = {"factor": 2, **query}
        response = self.ask("POST", "/upscale", params=query, content=encoded(coded_picture(code)), headers=headers)
        assert response.status_code == 202, response.text
        return response.headers["location"]

    def collect(self, path):
        while (job := self.ask("GET", path).json())["state"] in {"queued", "running"}:
            time.sleep(0.3)
        assert job["state"] == "done", job
        return decoded(self.ask("GET", f"{path}/result").content)


def environment_of(folder, port, **settings):
    """The environment of the replicas; checkpoints, and the file of passes, are in the folder."""
    settings = {
        "CHECKPOINTS": folder / "checkpoints", "MAX_JOBS": 1000, "JOB_STORE": f"redis://127.0.0.1:{port}/0",
        "JOB_LEASE_SECONDS": 4, "JOB_ATTEMPTS": 10, "JOB_SECONDS": 3600, "MAX_JOB_BYTES": 2**30, "DEVICE": "cpu",
        "PRECISION": "fp32", "MAX_BATCH_ITEMS": 1, "PICTURES_AT_ONCE": 1, "DECODER": "thread", "DRAIN_SECONDS": 1,
        "LOG_LEVEL": "error", **settings,
    }  # fmt: skip
    kept = {name: value for name, value in os.environ.items() if not name.startswith("IMPASTO_")}
    given = {f"IMPASTO_{name}": str(value) for name, value in settings.items()}
    return kept | given | {"FLEET_PASSES": str(folder / "passes")}


class Disturbance:
    """Ends a replica in each turn, and Redis in some."""

    def __init__(self, start_redis):
        self._start_redis, self._server = start_redis, start_redis()
        self.turns = self.restarts = 0

    def turn(self, fleet):
        fleet.replace(self.turns % REPLICAS, SIGNALS[self.turns % len(SIGNALS)])
        if self.turns in RESTARTS:
            self._server.kill()
            self._server.wait()
            time.sleep(1)
            self._server, self.restarts = self._start_redis(), self.restarts + 1
        self.turns += 1

    def turn_until(self, done, fleet, every_seconds):
        while not done.wait(every_seconds):
            self.turn(fleet)


def disturbed(folder, redis_server, jobs, kill_seconds=None):
    """Send jobs of three owners, and check that each gets its results. Returns figures.

    kill_seconds: how often a replica ends, until the last result is there. None: after each quarter of the jobs.
    """
    keys = {name: {"key": key, "scopes": ["transform"]} for name, key in OWNERS.items()}
    (folder / "passes").touch()
    save_net(folder / "checkpoints", "x2", tiny_upscaler(2))
    port = free_port()
    environment = environment_of(folder, port, KEYS_FILE=write_keys(folder / "keys", keys), MAX_JOBS=2 * jobs)
    codes = range(FIRST_CODE, FIRST_CODE + jobs)
    owners = [list(OWNERS)[code % 3] for code in codes]
    with ExitStack() as stack:
        trouble = Disturbance(lambda: stack.enter_context(redis(redis_server, folder, port, REDIS))[1])
        fleet = stack.enter_context(Fleet(environment))
        clients = {owner: stack.enter_context(Client(owner, fleet.ports, 450 + jobs)) for owner in OWNERS}
        workers = stack.enter_context(ThreadPoolExecutor(9))
        for which in range(REPLICAS):
            fleet.wait_for(which)
        begin, done, paths = time.monotonic(), Event(), []
        ending = stack.enter_context(ThreadPoolExecutor(1))
        stack.callback(done.set)
        killing = ending.submit(trouble.turn_until, done, fleet, kill_seconds) if kill_seconds else None
        turns = 1 if kill_seconds else len(SIGNALS)
        size = -(-jobs // turns)
        for turn in range(turns):
            part = slice(turn * size, (turn + 1) * size)
            paths += workers.map(lambda owner, code: clients[owner].post(code), owners[part], codes[part])
            if killing is None:
                trouble.turn(fleet)
        again = list(workers.map(lambda owner, code: clients[owner].post(code), owners[:9], codes[:9]))
        assert again == paths[:9]
        results = list(workers.map(lambda owner, path: clients[owner].collect(path), owners, paths))
        other = clients["alice"].ask("GET", paths[owners.index("bob")])
        seconds = time.monotonic() - begin
        done.set()
        if killing is not None:
            killing.result()
    assert len(set(paths)) == jobs
    for code, result in zip(codes, results, strict=True):
        assert np.array_equal(result, doubled(coded_picture(code))), "each owner has the result of its own picture"
    assert other.status_code == 404
    twice = check_passes(folder / "passes", codes, fleet.stopped)
    return {
        "jobs": jobs,
        "seconds": round(seconds),
        "processes_ended": len(fleet.stopped),
        "redis_restarts": trouble.restarts,
        "computed_twice": twice,
    }


def check_passes(path, codes, stopped):
    """Count the jobs that were computed more than once. A process that was not ended computes none that another did."""
    computed = defaultdict(list)
    for line in path.read_text().splitlines():
        pid, code = map(int, line.split())
        computed[code].append(pid)
    for code in codes:
        assert len(set(computed[code])) == len(computed[code]), "no process computes a job twice"
        assert len(set(computed[code]) - stopped) <= 1, "and another does only if one has ended"
    return sum(len(computed[code]) > 1 for code in codes)
