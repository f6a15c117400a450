"""The tools that check what is deployed, and the manifests as they render. A missing tool is a visible skip."""

import itertools
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent.parent
ENVIRONMENT = ROOT / ".venv-deploy"
MODELS = ROOT / "tests" / "deploy"

KUSTOMIZATIONS = (
    "overlays/cpu",
    "overlays/gpu",
    "overlays/example",
    "overlays/canary",
    "bulk",
    "training/job",
    "training/nodes",
    "training/trainjob",
)
"""What a user applies."""

COMPONENTS = {
    "keys": (),
    "keys-external": ("keys",),
    "hpa": (),
    "keda": (),
    "keda-jobs": ("redis", "keda"),
    "monitoring": (),
    "gateway": (),
    "ingress": (),
    "checkpoints-pvc": (),
    "checkpoints-oci": (),
    "learning": (),
    "keda-learning": ("learning",),
    "redis": (),
    "webhooks": (),
    "otel": (),
    "gpu": (),
    "gpu-mig": ("gpu",),
    "gpu-runtime-class": ("gpu",),
}
"""What a user adds to the base, and the components that each stands beside."""

ALTERNATIVES = ({"hpa", "keda"}, {"gateway", "ingress"}, {"checkpoints-pvc", "checkpoints-oci"})
"""Components of which an overlay has one at most."""

Manifest = dict[str, Any]

_MADE = tempfile.TemporaryDirectory(prefix="impasto-variants-")
"""Where the variants are, so that each is rendered once in a run of the tests."""


def missing(what: str) -> None:
    """Skip; or fail, where IMPASTO_REQUIRE_TOOLS says that everything should be there (CI does)."""
    message = f"{what}: `make deploy-tools` installs it"
    if os.environ.get("IMPASTO_REQUIRE_TOOLS"):
        pytest.fail(message)
    pytest.skip(message)


def tool(name: str) -> str:
    """The path of a program: of `make deploy-tools`, else the system's."""
    own = ENVIRONMENT / "bin" / name
    found = str(own) if own.exists() else shutil.which(name)
    if found is None:
        missing(f"{name} is not here")
    return str(found)


def run(*command: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    """Run a tool in the root of the tree; its output is the caller's to judge."""
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, **options)


@cache
def _rendered(kubectl: str, folder: Path) -> str:
    result = run(kubectl, "kustomize", str(folder))
    assert result.returncode == 0, result.stderr
    assert not result.stderr, result.stderr  # deprecations
    return result.stdout


def rendered(folder: Path) -> str:
    """What `kubectl kustomize` makes of a folder, as YAML."""
    return _rendered(tool("kubectl"), folder)


def manifests(folder: Path) -> list[Manifest]:
    """The same, parsed."""
    return list(yaml.safe_load_all(rendered(folder)))


def with_component(tmp_path: Path, *names: str, of: str = "components", **further: Any) -> Path:
    """A folder that renders the base (or the single-node Job) with components, as a user's own overlay would.

    further: other fields of its kustomization.yaml.
    """
    folder = tmp_path / "overlay"
    folder.mkdir(parents=True)
    base = "k8s/base" if of == "components" else "k8s/training/job"
    (folder / "kustomization.yaml").write_text(
        yaml.safe_dump(
            {
                "apiVersion": "kustomize.config.k8s.io/v1beta1",
                "kind": "Kustomization",
                "resources": [os.path.relpath(ROOT / base, folder.resolve())],
                "components": [os.path.relpath(ROOT / "k8s" / of / name, folder.resolve()) for name in names],
                **further,
            }
        )
    )
    return folder


def combinations() -> list[tuple[str, ...]]:
    """Every component alone (with those it stands beside), and all together, for each choice of alternatives."""
    alone = [(*beside, name) for name, beside in COMPONENTS.items()]
    alternatives = set().union(*ALTERNATIVES)
    rest = [name for name in COMPONENTS if name not in alternatives]
    choices = itertools.product(*(sorted(each) for each in ALTERNATIVES))
    return alone + [
        (*chosen, *(name for name in rest if name != "keda-jobs" or "keda" in chosen)) for chosen in choices
    ]


@cache
def variants() -> dict[str, Path]:
    """Every kustomization that a user applies, and the base with every combination of components; made once."""
    made = Path(_MADE.name)
    folders = {name: ROOT / "k8s" / name for name in KUSTOMIZATIONS}
    for names in combinations():
        folders["+".join(names)] = with_component(made / "+".join(names), *names)
    folders["kueue"] = with_component(made / "kueue", "kueue", of="training")
    return folders
