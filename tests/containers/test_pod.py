"""The Deployment of overlays/cpu as a real pod, by `podman kube play`: its user, its capabilities, its read-only root.

Podman runs no probes and knows no Service. Needs podman, runc and catatonit.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator

import httpx
import pytest
import yaml

from tests.conftest import decoded
from tests.containers.engine import free_port, wait_until
from tests.deploy.faults import of_kind
from tests.deploy.tools import ROOT, manifests

CONTAINER = "impasto-pod-0-service"
CONFIGURATION = """
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=32768:32768"]
[engine]
runtime = "runc"
"""


@pytest.fixture(scope="module")
def podman(tmp_path_factory: pytest.TempPathFactory) -> "dict[str, str]":
    """The environment to run podman in: limits that this machine grants."""
    if any(shutil.which(program) is None for program in ("podman", "runc", "catatonit")):
        pytest.skip("podman, runc or catatonit is not installed")
    path = tmp_path_factory.mktemp("podman") / "containers.conf"
    path.write_text(CONFIGURATION)
    kept = {key: value for key, value in os.environ.items() if key != "DOCKER_CONFIG"}
    return kept | {"CONTAINERS_CONF": str(path)}


def run(environment: dict[str, str], *command: str, check: bool = True) -> str:
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert not check or result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


@pytest.fixture(scope="module")
def pod(podman: dict[str, str], service_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The pod's address."""
    folder = tmp_path_factory.mktemp("pod")
    archive, manifest, port = folder / "image.tar", folder / "pod.yaml", free_port()
    run(podman, "docker", "save", "--output", str(archive), service_image)
    run(podman, "podman", "load", "--input", str(archive))
    archive.unlink()
    manifest.write_text(yaml.safe_dump_all(as_a_pod(service_image, port)))
    try:
        run(podman, "podman", "kube", "play", str(manifest))
        address = f"http://127.0.0.1:{port}"
        wait_until(lambda: httpx.get(f"{address}/readyz", trust_env=False).status_code == 200, 120)
        yield address
    finally:
        run(podman, "podman", "kube", "down", str(manifest), check=False)


def as_a_pod(image: str, port: int) -> "list[dict[str, object]]":
    """What kube play takes of the overlay: one replica, the image that was built here, a port of this machine."""
    found = of_kind(manifests(ROOT / "k8s/overlays/cpu"), "Deployment", "ConfigMap")
    for manifest in found:
        del manifest["metadata"]["namespace"]
        if manifest["kind"] == "Deployment":
            manifest["spec"]["replicas"] = 1
            [container] = manifest["spec"]["template"]["spec"]["containers"]
            container["image"] = f"localhost/{image}"
            container["ports"][0] |= {"hostPort": port, "hostIP": "127.0.0.1"}
    return found


def test_a_pod_answers(pod, photograph):
    answer = httpx.post(f"{pod}/stylize?style=mosaic", content=photograph, timeout=120, trust_env=False)
    assert answer.status_code == 200
    assert decoded(answer.content).shape == decoded(photograph).shape


def test_a_pod_is_confined_as_its_manifest_says(pod, podman):
    said = run(podman, "podman", "exec", CONTAINER, "python", "-c", "print(open('/proc/1/status').read())")
    facts = dict(line.split(":\t") for line in said.splitlines() if ":\t" in line)
    assert {facts[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
    assert facts["Uid"].split() == facts["Gid"].split() == ["10001"] * 4
    assert facts["Seccomp"] == "2"
    assert facts["NoNewPrivs"] == "1"
    write = ("python", "-c", "open('/x', 'w')")
    assert "Read-only file system" in run(podman, "podman", "exec", CONTAINER, *write, check=False)


def test_a_pod_ends_by_itself_when_told_to(pod, podman):
    run(podman, "podman", "stop", "--time", "40", CONTAINER)
    assert run(podman, "podman", "inspect", "--format", "{{.State.ExitCode}}", CONTAINER).strip() == "0"
