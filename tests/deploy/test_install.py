"""docker/install.sh: which torch and torchvision an image gets."""

import os

import pytest

from tests.deploy.tools import ROOT, run


def wanted(*packages: str, **environment: str) -> list[str]:
    result = run("sh", "docker/install.sh", "wanted", *packages, env=os.environ | environment)
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


def locked(package: str) -> str:
    [line] = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if line.startswith(f"{package}==")]
    return line


def test_without_a_version_both_are_the_locks():
    assert wanted("torch", "torchvision", TORCH_VERSION="") == [locked("torch"), locked("torchvision")]


@pytest.mark.parametrize(
    ("version", "torchvision"), [("2.13.0+cpu", "0.28.*"), ("2.5.1", "0.20.*"), ("2.14.0+cu130", "0.29.*")]
)
def test_a_version_of_torch_brings_the_torchvision_that_was_made_for_it(version, torchvision):
    """Else pip replaces torch by the one that torchvision wants: a CUDA build, in an image for CPUs."""
    expected = [f"torch=={version}", f"torchvision=={torchvision}"]
    assert wanted("torch", "torchvision", TORCH_VERSION=version) == expected


def test_the_locks_own_pair_follows_the_same_rule():
    torch, torchvision = (locked(name).partition("==")[2].split(".")[1] for name in ("torch", "torchvision"))
    assert int(torchvision) == int(torch) + 15


def test_the_service_gets_no_torchvision():
    assert wanted("torch", TORCH_VERSION="2.13.0") == ["torch==2.13.0"]
