"""`make test-containers` sets IMPASTO_TEST_CONTAINERS; without it, or without an engine, everything here is skipped."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.engine import (
    SERVICE,
    TRAINER,
    Stack,
    build,
    docker,
    free_port,
    image_of,
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    if not os.environ.get("IMPASTO_TEST_CONTAINERS"):
        for item in items:
            if here in item.path.parents:
                item.add_marker(pytest.mark.skip("make test-containers, where a Docker engine is"))


@pytest.fixture(scope="session")
def engine() -> None:
    """A Docker engine that answers."""
    if shutil.which("docker") is None or docker("info", check=False).returncode:
        pytest.fail("no Docker engine answers")


@pytest.fixture(scope="session")
def service_image(engine: None) -> str:
    build("service", SERVICE, "SERVICE_BUILD_OPTIONS")
    return SERVICE


@pytest.fixture(scope="session")
def trainer_image(engine: None) -> str:
    build("trainer", TRAINER, "TRAINER_BUILD_OPTIONS")
    return TRAINER


@pytest.fixture(scope="session")
def stack(service_image: str) -> Iterator[Stack]:
    """`docker compose up`: the service and Prometheus, on free ports."""
    variables = {
        "SERVICE_IMAGE": service_image,
        "TRAINER_IMAGE": TRAINER,
        "PROMETHEUS_IMAGE": image_of("prom/prometheus:v3.5.0", "prometheus"),
        "PORT": str(free_port()),
        "PROMETHEUS_PORT": str(free_port()),
    }
    stack = Stack("impasto-test", variables)
    stack.compose("--profile", "*", "down", "--volumes", check=False)
    try:
        stack.compose("up", "--no-build", "--wait")
        yield stack
    finally:
        stack.compose("--profile", "*", "down", "--volumes", check=False)


@pytest.fixture
def photograph() -> bytes:
    return (Path(__file__).parents[2] / "docs/images/photographs/coffee.jpg").read_bytes()
