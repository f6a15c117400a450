"""Pods by `podman kube play`, of what Kustomize renders. Podman runs no probes, no preStop, and knows no Service."""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.containers.engine import free_port

CONFIGURATION = """
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=32768:32768"]
[engine]
runtime = "runc"
"""
PROGRAMS = ("podman", "runc", "catatonit")

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Podman:
    """Podman, within the limits that this machine grants. folder: for its configuration and manifests."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        path = self.folder / "containers.conf"
        path.write_text(CONFIGURATION)
        kept = {key: value for key, value in os.environ.items() if key != "DOCKER_CONFIG"}
        self.environment.update(kept | {"CONTAINERS_CONF": str(path)})

    def run(self, *command: str, check: bool = True) -> str:
        """Run a program; its output and errors."""
        result = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        assert not check or result.returncode == 0, result.stdout + result.stderr
        return result.stdout + result.stderr

    def load(self, image: str) -> None:
        """Hand an image of the Docker engine over, unless podman has it."""
        ours = self.run("docker", "image", "inspect", "--format", "{{.Id}}", image).strip().removeprefix("sha256:")
        if (
            ours
            == self.run("podman", "image", "inspect", "--format", "{{.Id}}", f"localhost/{image}", check=False).strip()
        ):
            return
        archive = self.folder / "image.tar"
        self.run("docker", "save", "--output", str(archive), image)
        self.run("podman", "load", "--input", str(archive))
        archive.unlink()

    def play(self, name: str, manifests: list[Manifest]) -> None:
        self.path(name).write_text(yaml.safe_dump_all(manifests))
        self.run("podman", "kube", "play", "--network", "podman", str(self.path(name)))

    def down(self, name: str) -> None:
        self.run("podman", "kube", "down", str(self.path(name)), check=False)

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.yaml"


def pod(deployment: Manifest, name: str, image: str, volumes: dict[str, Path]) -> "tuple[Manifest, int]":
    """One pod of a Deployment, and the port of this machine where it answers.

    volumes: what stands in for a Secret or an image volume, which podman does not mount: folders of this machine, by
    the volume's name. A variable from a Secret must have been replaced by the caller.
    """
    template = deployment["spec"]["template"]
    port = free_port()
    [container] = template["spec"]["containers"]
    container["image"] = f"localhost/{image}"
    container["ports"][0] |= {"hostPort": port, "hostIP": "127.0.0.1"}
    for volume in template["spec"]["volumes"]:
        if volume["name"] in volumes:
            path = str(volumes[volume["name"]])
            volume.clear()
            volume.update({"name": Path(path).name, "hostPath": {"path": path, "type": "Directory"}})
    for mount in container["volumeMounts"]:
        if mount["name"] in volumes:
            mount["name"] = volumes[mount["name"]].name
    manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": template["metadata"]["labels"]},
        "spec": template["spec"],
    }
    return manifest, port


def without_namespace(found: list[Manifest]) -> Iterator[Manifest]:
    for manifest in found:
        manifest["metadata"].pop("namespace", None)
        yield manifest
