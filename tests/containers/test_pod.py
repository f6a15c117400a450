"""The Deployment of overlays/cpu as a real pod, by `podman kube play`: its user, its capabilities, its read-only root.

Podman runs no probes and knows no Service. Needs podman, runc and catatonit.
"""

import shutil
from collections.abc import Iterator

import httpx
import pytest

from tests.conftest import decoded
from tests.containers.engine import wait_until
from tests.containers.pods import PROGRAMS, Podman, pod, without_namespace
from tests.deploy.faults import of_kind
from tests.deploy.tools import ROOT, manifests

NAME = "impasto-alone"
CONTAINER = f"{NAME}-service"


@pytest.fixture(scope="module")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Podman:
    if any(shutil.which(program) is None for program in PROGRAMS):
        pytest.skip(f"one of {', '.join(PROGRAMS)} is not installed")
    return Podman(tmp_path_factory.mktemp("podman"))


@pytest.fixture(scope="module")
def alone(podman: Podman, service_image: str) -> Iterator[str]:
    """The address of one pod of overlays/cpu."""
    podman.load(service_image)
    found = list(without_namespace(manifests(ROOT / "k8s/overlays/cpu")))
    [deployment] = of_kind(found, "Deployment")
    manifest, port = pod(deployment, NAME, service_image, {})
    try:
        podman.play(NAME, [*of_kind(found, "ConfigMap"), manifest])
        address = f"http://127.0.0.1:{port}"
        wait_until(lambda: httpx.get(f"{address}/readyz", trust_env=False).status_code == 200, 120)
        yield address
    finally:
        podman.down(NAME)


def test_a_pod_answers(alone, photograph):
    answer = httpx.post(f"{alone}/stylize?style=mosaic", content=photograph, timeout=120, trust_env=False)
    assert answer.status_code == 200
    assert decoded(answer.content).shape == decoded(photograph).shape


def test_a_pod_is_confined_as_its_manifest_says(alone, podman):
    said = podman.run("podman", "exec", CONTAINER, "python", "-c", "print(open('/proc/1/status').read())")
    facts = dict(line.split(":\t") for line in said.splitlines() if ":\t" in line)
    assert {facts[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
    assert facts["Uid"].split() == facts["Gid"].split() == ["10001"] * 4
    assert facts["Seccomp"] == "2"
    assert facts["NoNewPrivs"] == "1"
    write = ("python", "-c", "open('/x', 'w')")
    assert "Read-only file system" in podman.run("podman", "exec", CONTAINER, *write, check=False)


def test_a_pod_ends_by_itself_when_told_to(alone, podman):
    podman.run("podman", "stop", "--time", "40", CONTAINER)
    assert podman.run("podman", "inspect", "--format", "{{.State.ExitCode}}", CONTAINER).strip() == "0"
