"""k8s/overlays/canary/rollout: a new image of checkpoints, step by step, as the overlay renders after each."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.faults import faults, of_kind
from tests.deploy.tools import ROOT, manifests, run

NEW = "registry.example.com/impasto-checkpoints@sha256:" + "ab" * 32
OLD = "registry.example.com/impasto-checkpoints@sha256:" + "cd" * 32
NONE = "registry.example.com/impasto-checkpoints@sha256:" + "0" * 64


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    """A copy of k8s/, of which rollout may change the files; its overlay canary."""
    shutil.copytree(ROOT / "k8s", tmp_path / "k8s")
    return tmp_path / "k8s/overlays/canary"


def rollout(overlay: Path, *arguments: str) -> None:
    result = run(str(overlay / "rollout"), *arguments)
    assert result.returncode == 0, result.stderr


def state(overlay: Path, step: str) -> "dict[str, Any]":
    """The canary's share and replicas, and the checkpoints of both. step: names a copy, since renderings are cached."""
    folder = overlay.parent.parent.parent / step
    shutil.copytree(overlay.parent.parent, folder / "k8s")
    found = manifests(folder / "k8s/overlays/canary")
    assert faults(found) == []
    [route] = of_kind(found, "HTTPRoute")
    shares = [{ref["name"]: ref["weight"] for ref in rule["backendRefs"]} for rule in route["spec"]["rules"]]
    assert all(each == shares[0] and sum(each.values()) == 100 for each in shares)
    deployments = {each["metadata"]["name"]: each["spec"] for each in of_kind(found, "Deployment")}
    references = {
        name: volume["image"]["reference"]
        for name, spec in deployments.items()
        for volume in spec["template"]["spec"]["volumes"]
        if "image" in volume
    }
    return {
        "share": shares[0]["impasto-canary"],
        "replicas": deployments["impasto-canary"]["replicas"],
        "stable": references["impasto"],
        "canary": references["impasto-canary"],
    }


def test_from_start_to_promotion(overlay):
    rollout(overlay, "install", OLD)
    assert state(overlay, "before") == {"share": 0, "replicas": 0, "stable": OLD, "canary": NONE}
    rollout(overlay, "start", NEW)
    assert state(overlay, "start") == {"share": 5, "replicas": 1, "stable": OLD, "canary": NEW}
    rollout(overlay, "share", "50")
    assert state(overlay, "share") == {"share": 50, "replicas": 1, "stable": OLD, "canary": NEW}
    rollout(overlay, "promote")
    assert state(overlay, "promote") == {"share": 50, "replicas": 1, "stable": NEW, "canary": NEW}
    rollout(overlay, "end")
    assert state(overlay, "end") == {"share": 0, "replicas": 0, "stable": NEW, "canary": NEW}


def test_the_rollback_leaves_the_stable_release_as_it_was(overlay):
    rollout(overlay, "install", OLD)
    rollout(overlay, "start", NEW, "20")
    rollout(overlay, "end")
    assert state(overlay, "end") == {"share": 0, "replicas": 0, "stable": OLD, "canary": NEW}


def test_the_two_releases_differ_in_their_checkpoints_alone(overlay):
    found = manifests(ROOT / "k8s/overlays/canary")
    stable, canary = of_kind(found, "Deployment")
    for deployment in (stable, canary):
        spec = deployment["spec"]["template"]["spec"]
        assert {volume["name"] for volume in spec["volumes"]} == {"tmp", "checkpoints"}
    services = {s["metadata"]["name"]: s["spec"]["selector"]["track"] for s in of_kind(found, "Service")}
    assert services == {"impasto": "stable", "impasto-canary": "canary"}
    of_containers = [d["spec"]["template"]["spec"]["containers"][0] for d in (stable, canary)]
    names = [container.pop("envFrom")[0]["configMapRef"]["name"] for container in of_containers]
    assert of_containers[0] == of_containers[1]
    configs = {c["metadata"]["name"]: c["data"] for c in of_kind(found, "ConfigMap")}
    assert configs[names[0]] == configs[names[1]]


def test_the_copy_of_a_user_is_changed_in_one_file(overlay):
    """Namespace, images and host are set beside the two releases, for both."""
    found = manifests(ROOT / "k8s/overlays/canary")
    assert {each["metadata"].get("namespace", "painting") for each in found} == {"painting"}
    images = {d["spec"]["template"]["spec"]["containers"][0]["image"] for d in of_kind(found, "Deployment")}
    assert images == {"registry.example.com/impasto-service:0.1.0-cpu"}


def test_a_second_install_beside_a_canary_is_refused(overlay):
    rollout(overlay, "install", OLD)
    rollout(overlay, "start", NEW)
    result = run(str(overlay / "rollout"), "install", OLD)
    assert (result.returncode, result.stderr) == (2, "rollout: there is a canary: rollout end\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("start", "registry.example.com/impasto-checkpoints:2"), "expected REGISTRY/NAME@sha256:DIGEST"),
        (("start", "x@sha256:abc"), "expected REGISTRY/NAME@sha256:DIGEST"),
        (("start", NEW, "101"), "SHARE=101: expected a whole number from 0 to 100"),
        (("start", NEW), "the stable release has no checkpoints yet: rollout install REFERENCE"),
        (("install", "registry.example.com/impasto-checkpoints:2"), "expected REGISTRY/NAME@sha256:DIGEST"),
        (("share", "-1"), "SHARE=-1: expected a whole number from 0 to 100"),
        (("share", "5"), "there is no canary: rollout start REFERENCE"),
        (("promote",), "there is no canary: rollout start REFERENCE"),
        (("strat",), "rollout start REFERENCE [SHARE]"),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(overlay, arguments, said):
    before = {path: path.read_bytes() for path in overlay.rglob("*") if path.is_file()}
    result = run(str(overlay / "rollout"), *arguments)
    assert result.returncode == 2
    assert said in result.stderr
    assert {path: path.read_bytes() for path in overlay.rglob("*") if path.is_file()} == before
