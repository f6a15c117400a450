"""Other people's validators over the rendered manifests, the Dockerfiles and the compose file. No network."""

import json
import shutil

import pytest
import yaml

from tests.deploy.faults import of_kind
from tests.deploy.tools import ENVIRONMENT, ROOT, manifests, missing, rendered, run, tool, variants

VERSIONS = ("1.36", "1.37")
"""The newest two of Kubernetes that kubernetes-validate has schemas of."""
CUSTOM = {
    "ExternalSecret",
    "HTTPRoute",
    "PrometheusRule",
    "RayJob",
    "ScaledObject",
    "ServiceMonitor",
    "TrainJob",
    "TriggerAuthentication",
}
"""Kinds that Kubernetes itself does not know: kubernetes-models, kubeflow-trainer-api and test_bulk.py do."""

NOT_FOLLOWED = {
    "CKV_K8S_43": "an image by its digest: that of the user's own registry, set in an overlay",
    "CKV_K8S_35": "Secrets as files: the store of quotas is a URL, which the service reads from a variable alone",
    "CKV_DOCKER_2": "a HEALTHCHECK for the trainer, which serves nothing",
    "CKV_DOCKER_7": "a tag of the base image: it has one, in an ARG that checkov does not follow",
    "CKV_K8S_15": "imagePullPolicy Always: tags here are versions, and a registry that is down must not stop a restart",
}
"""Checks of checkov that are left out, and why."""


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_schemas(version, tmp_path):
    paths = []
    for name, folder in variants().items():
        paths.append(tmp_path / f"{name.replace('/', '-')}.yaml")
        paths[-1].write_text(yaml.safe_dump_all(each for each in manifests(folder) if each["kind"] not in CUSTOM))
    result = run(tool("kubernetes-validate"), "-k", version, "--strict", "--quiet", *map(str, paths))
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Couldn't find schema" not in result.stdout + result.stderr  # of a removed API there is only a warning


def test_kubernetes_schemas_refuse_a_wrong_field(tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text(rendered(ROOT / "k8s/overlays/cpu").replace("minReadySeconds:", "minReadySecond:"))
    assert run(tool("kubernetes-validate"), "-k", VERSIONS[0], "--strict", str(path)).returncode != 0


def models(found: list[dict[str, object]]) -> list[dict[str, str]]:
    """What npm's kubernetes-models find wrong."""
    tool("node")
    if not (ENVIRONMENT / "node_modules/kubernetes-models").is_dir():
        missing("npm's kubernetes-models are not here")
    # Not by its path in the tree: node takes the packages from the folder in its argument.
    result = run(tool("node"), "tests/deploy/models.mjs", str(ENVIRONMENT), input=json.dumps(found))
    assert result.returncode == 0, result.stderr
    failures: list[dict[str, str]] = json.loads(result.stdout)
    return failures


def test_enums_quantities_and_custom_resources():
    found = [each for folder in variants().values() for each in manifests(folder)]
    assert {"ExternalSecret", "HTTPRoute", "PrometheusRule", "ScaledObject", "ServiceMonitor"} <= {
        each["kind"] for each in found
    }
    assert models([each for each in found if each["kind"] not in {"RayJob", "TrainJob"}]) == []


def test_models_refuse_a_wrong_enum():
    [route] = yaml.safe_load_all((ROOT / "k8s/components/gateway/httproute.yaml").read_text())
    route["spec"]["rules"][0]["matches"][0]["method"] = "PSOT"
    assert "allowed values" in models([route])[0]["error"]


def test_train_job():
    [job] = of_kind(manifests(ROOT / "k8s/training/trainjob"), "TrainJob")
    script = (
        "import json, sys; from kubeflow_trainer_api.models import TrainerV1alpha1TrainJob as T;"
        "given = json.load(sys.stdin); print(json.dumps(T.from_dict(given).to_dict(), default=str))"
    )
    python = ENVIRONMENT / "bin/python"
    if not python.exists():
        missing("kubeflow-trainer-api is not here")
    result = run(str(python), "-c", script, input=json.dumps(job))
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == job  # the models drop fields that they do not know


def test_security_policies(tmp_path):
    manifest = tmp_path / "all.yaml"
    manifest.write_text("---\n".join(rendered(folder) for folder in variants().values()))
    shutil.copytree(ROOT / "docker", tmp_path / "docker", ignore=lambda *_: ["grafana", "prometheus"])
    result = run(
        *(tool("checkov"), "--quiet", "--compact", "--skip-download", "--framework", "kubernetes", "dockerfile"),
        *("--skip-check", ",".join(NOT_FOLLOWED), "--file", str(manifest)),
        *(f"{tmp_path}/docker/{name}.Dockerfile" for name in ("service", "trainer", "checkpoints", "bulk")),
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    "name", [f"docker/{name}.Dockerfile" for name in ("service", "trainer", "checkpoints", "bulk")]
)
def test_hadolint(name):
    result = run(tool("hadolint"), name)
    assert result.returncode == 0, result.stdout


def test_shellcheck():
    result = run(tool("shellcheck"), "docker/install.sh", "docker/release.sh", "k8s/overlays/canary/rollout", ".ci/run")
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("files", [["docker-compose.yml"], ["docker-compose.yml", "docker-compose.gpu.yml"]])
def test_compose_accepts_its_files(files):
    options = [option for name in files for option in ("--file", name)]
    result = run(tool("docker-compose"), *options, "--profile", "*", "config", "--format", "json")
    assert result.returncode == 0, result.stderr
    service = json.loads(result.stdout)["services"]["service"]
    devices = service["deploy"]["resources"].get("reservations", {}).get("devices", [])
    assert (devices == []) == (len(files) == 1)
    assert service["deploy"]["resources"]["limits"]["memory"]  # the override adds to it
