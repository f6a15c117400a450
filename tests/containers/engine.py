"""A real Docker engine, the images of this tree, and a compose project of the tests' own."""

import json
import os
import shlex
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parent.parent.parent
BASE = "python:3.11-slim"
SERVICE, TRAINER = "impasto-service:test", "impasto-trainer:test"


def docker(*arguments: str, check: bool = True, **options: Any) -> "subprocess.CompletedProcess[str]":
    """Run the docker client in the root of the tree; its standard output and error, together, are `stdout`."""
    environment = os.environ | {"DOCKER_BUILDKIT": "1"} | options.pop("env", {})
    result = subprocess.run(
        ["docker", *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        **options,
    )
    assert not check or result.returncode == 0, f"docker {shlex.join(arguments)}\n{result.stdout[-5000:]}"
    return result


def build(name: str, tag: str, variable: str) -> None:
    """Build docker/NAME.Dockerfile. `variable` may hold further options, such as --build-arg VARIANT=cuda."""
    docker("build", "-f", f"docker/{name}.Dockerfile", "-t", tag, *shlex.split(os.environ.get(variable, "")), ".")


def image_of(own: str, name: str) -> str:
    """A project's own image, else one with Debian's package: tests/containers/NAME.Dockerfile."""
    if docker("image", "inspect", own, check=False).returncode and docker("pull", own, check=False).returncode:
        own = f"impasto-{name}:test"
        docker("build", "-t", own, "-", input=(ROOT / f"tests/containers/{name}.Dockerfile").read_text())
    return own


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def wait_until(what: Callable[[], object], seconds: float = 60) -> Any:
    """The first true answer of `what`; an error of the network is none."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if answer := what():
                return answer
        except httpx.TransportError:
            pass
        time.sleep(0.3)
    raise AssertionError(f"not within {seconds} s")


@dataclass(frozen=True)
class Stack:
    """A compose project. Further variables of docker-compose.yml may be given to `compose`."""

    project: str
    variables: dict[str, str]

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.variables['PORT']}"

    @property
    def prometheus(self) -> str:
        return f"http://127.0.0.1:{self.variables['PROMETHEUS_PORT']}"

    def compose(self, *arguments: str, check: bool = True, **variables: str) -> "subprocess.CompletedProcess[str]":
        return docker("compose", "-p", self.project, *arguments, check=check, env=self.variables | variables)

    def container(self, service: str) -> dict[str, Any]:
        """What `docker inspect` says of a service's container."""
        identity = self.compose("ps", "-aq", service).stdout.strip()
        [inspected] = json.loads(docker("inspect", identity).stdout)
        return dict(inspected)

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.address + path, timeout=10, trust_env=False)

    def post(self, path: str, picture: bytes, **headers: str) -> httpx.Response:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.post(self.address + path, content=picture, headers=given, timeout=120, trust_env=False)

    def delete(self, path: str) -> httpx.Response:
        return httpx.delete(self.address + path, timeout=10, trust_env=False)

    def versions(self) -> dict[str, str]:
        """What is served: version by model."""
        return {model["model"]: model["version"] for model in self.get("/models").json()["models"]}

    def query(self, promql: str) -> list[dict[str, Any]]:
        """What Prometheus answers; an error of the query is an error here."""
        given = httpx.get(
            f"{self.prometheus}/api/v1/query", params={"query": promql}, timeout=10, trust_env=False
        ).json()
        assert given["status"] == "success", given
        return list(given["data"]["result"])
