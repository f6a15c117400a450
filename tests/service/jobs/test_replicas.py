"""Three replicas as processes over one Redis: they are killed in turn, and Redis is restarted, and no job is lost."""

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
import pytest

from tests.conftest import decoded, encoded, save_net, tiny_upscaler
from tests.keys import ALICE, BOB, bearer, write_keys
from tests.service.auth.test_quotas import free_port, redis, redis_server  # noqa: F401  # a fixture
from tests.service.engine.test_isolation import doubled
from tests.service.jobs.replica import FIRST_CODE, coded_picture

ROOT = Path(__file__).parents[3]
JOBS = int(os.environ.get("FLEET_JOBS", "240"))
"""10,000 on a quiet machine."""
KILL_SECONDS = float(os.environ.get("FLEET_KILL_SECONDS", "0"))
"""20 with many jobs: how often a replica is killed, until the last result is there; 0: after each part of the jobs."""

SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGKILL)
"""What ends a replica after each part of the jobs was accepted; for each signal, the next one."""

REPLICAS = 3
MOST_SECONDS = 450 + JOBS
OWNERS = {"alice": ALICE, "bob": BOB, "carol": "impasto_key-of-carol-for-a-test"}


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

    def __init__(self, owner, ports):
        headers = bearer(OWNERS[owner]) if owner else {}
        self.client, self.ports = httpx.Client(headers=headers, timeout=10, trust_env=False), ports
        self.until = time.monotonic() + MOST_SECONDS

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
        "CHECKPOINTS": folder / "checkpoints", "MAX_JOBS": 2 * JOBS, "JOB_STORE": f"redis://127.0.0.1:{port}/0",
        "JOB_LEASE_SECONDS": 4, "JOB_ATTEMPTS": 10, "JOB_SECONDS": 3600, "MAX_JOB_BYTES": 2**30, "DEVICE": "cpu",
        "PRECISION": "fp32", "MAX_BATCH_ITEMS": 1, "PICTURES_AT_ONCE": 1, "DECODER": "thread", "DRAIN_SECONDS": 1,
        "LOG_LEVEL": "error", **settings,
    }  # fmt: skip
    kept = {name: value for name, value in os.environ.items() if not name.startswith("IMPASTO_")}
    given = {f"IMPASTO_{name}": str(value) for name, value in settings.items()}
    return kept | given | {"FLEET_PASSES": str(folder / "passes")}


def disturb_until(done, disturb):
    turn = 0
    while not done.wait(KILL_SECONDS):
        disturb(turn)
        turn += 1


@pytest.mark.long
def test_no_job_is_lost_while_replicas_are_killed_and_redis_restarts(tmp_path, redis_server):  # noqa: F811
    keys = {name: {"key": key, "scopes": ["transform"]} for name, key in OWNERS.items()}
    passes = tmp_path / "passes"
    passes.touch()
    save_net(tmp_path / "checkpoints", "x2", tiny_upscaler(2))
    options, port = ["--appendonly", "yes"], free_port()
    environment = environment_of(tmp_path, port, KEYS_FILE=write_keys(tmp_path / "keys", keys))
    codes = range(FIRST_CODE, FIRST_CODE + JOBS)
    owners = [list(OWNERS)[code % 3] for code in codes]
    with ExitStack() as stack:
        process = stack.enter_context(redis(redis_server, tmp_path, port, options))[1]
        fleet = stack.enter_context(Fleet(environment))
        clients = {owner: stack.enter_context(Client(owner, fleet.ports)) for owner in OWNERS}
        workers = stack.enter_context(ThreadPoolExecutor(9))
        for which in range(REPLICAS):
            fleet.wait_for(which)
        begin = time.monotonic()
        servers = [process]

        def disturb(turn):
            fleet.replace(turn % REPLICAS, SIGNALS[turn % len(SIGNALS)])
            if turn in {1, 6}:
                servers[-1].kill()
                servers[-1].wait()
                time.sleep(1)
                servers.append(stack.enter_context(redis(redis_server, tmp_path, port, options))[1])

        done = Event()
        killing = (
            stack.enter_context(ThreadPoolExecutor(1)).submit(disturb_until, done, disturb) if KILL_SECONDS else None
        )
        stack.callback(done.set)
        turns = 1 if KILL_SECONDS else len(SIGNALS)
        paths, size = [], -(-JOBS // turns)
        for turn in range(turns):
            part = slice(turn * size, (turn + 1) * size)
            paths += workers.map(lambda owner, code: clients[owner].post(code), owners[part], codes[part])
            if killing is None:
                disturb(turn)
        again = list(workers.map(lambda owner, code: clients[owner].post(code), owners[:9], codes[:9]))
        assert again == paths[:9]
        results = list(workers.map(lambda owner, path: clients[owner].collect(path), owners, paths))
        other = clients["alice"].ask("GET", paths[owners.index("bob")])
        done.set()
        if killing is not None:
            killing.result()
    assert len(set(paths)) == JOBS
    for code, result in zip(codes, results, strict=True):
        assert np.array_equal(result, doubled(coded_picture(code))), "each owner has the result of its own picture"
    assert other.status_code == 404
    computed = defaultdict(list)
    for line in passes.read_text().splitlines():
        pid, code = map(int, line.split())
        computed[code].append(pid)
    for code in codes:
        assert len(set(computed[code])) == len(computed[code]), "no process computes a job twice"
        assert len(set(computed[code]) - fleet.stopped) <= 1, "and another does only if one has ended"
    twice = sum(len(computed[code]) > 1 for code in codes)
    ended = f"{len(fleet.stopped)} processes ended, Redis {len(servers) - 1} times"
    print(f"{JOBS} jobs in {time.monotonic() - begin:.0f} s, {ended}, {twice} jobs computed more than once")
