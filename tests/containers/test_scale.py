"""`docker compose --profile scale up`: a killed replica and a restarted Redis lose no job, and no client notices."""

import time
from collections.abc import Iterator

import httpx
import pytest

from tests.containers.engine import Stack, docker, free_port, image_of, wait_until

REPLICAS, JOBS = 3, 12


@pytest.fixture(scope="module")
def fleet(service_image: str) -> Iterator[Stack]:
    """Redis, three replicas and nginx, whose address is the stack's."""
    port = str(free_port())
    images = {"redis": "redis:8-alpine", "nginx": "nginx:1.29-alpine"}
    variables = {f"{name.upper()}_IMAGE": image_of(own, name) for name, own in images.items()}
    limits = {"SERVICE_IMAGE": service_image, "SERVICE_CPUS": "1", "SERVICE_MEMORY": "2g", "IMPASTO_LOADING": "lazy"}
    stack = Stack("impasto-scale-test", {**variables, **limits, "PORT": port, "SCALE_PORT": port})
    stack.compose("--profile", "*", "down", "--volumes", check=False)
    try:
        stack.compose("--profile", "scale", "up", "--no-build", "--wait", "nginx")
        yield stack
    finally:
        stack.compose("--profile", "*", "down", "--volumes", check=False)


def replicas(fleet: Stack) -> list[str]:
    """The containers of the replicas that run."""
    return fleet.compose("ps", "--quiet", "replica").stdout.split()


def post_jobs(fleet: Stack, photograph: bytes) -> list[str]:
    answers = [fleet.post("/upscale?factor=2", photograph, Prefer="respond-async") for _ in range(JOBS)]
    assert {answer.status_code for answer in answers} == {202}
    return [answer.headers["location"] for answer in answers]


def states(fleet: Stack, paths: list[str]) -> list[str]:
    return [answer.json().get("state", answer.status_code) for answer in map(fleet.get, paths)]


def test_three_replicas_serve_behind_nginx(fleet, photograph):
    assert len(replicas(fleet)) == REPLICAS
    assert fleet.post("/upscale?factor=2", photograph).headers["content-type"] == "image/jpeg"
    assert fleet.get("/metrics").status_code == 404
    for name in ("redis", "nginx"):
        container = fleet.container(name)
        assert container["HostConfig"]["ReadonlyRootfs"] is True
        assert container["Config"]["User"].split(":")[0] != "0"


def test_jobs_outlive_a_redis_that_restarts(fleet, photograph):
    paths = post_jobs(fleet, photograph)
    docker("kill", fleet.container("redis")["Id"])
    fleet.compose("--profile", "scale", "up", "--no-build", "--wait", "redis")
    wait_until(lambda: set(states(fleet, paths)) == {"done"}, 120)


def test_a_killed_replica_loses_neither_jobs_nor_requests(fleet, photograph):
    paths = post_jobs(fleet, photograph)
    docker("kill", replicas(fleet)[0])
    until = time.monotonic() + 10
    while time.monotonic() < until:
        assert fleet.post("/upscale?factor=2", photograph).status_code == httpx.codes.OK
    wait_until(lambda: set(states(fleet, paths)) == {"done"}, 120)
    assert len(replicas(fleet)) == REPLICAS - 1
