"""k8s/bulk: pods by the schemas of Kubernetes, other fields by those of KubeRay, and the command by the program."""

import re
import shlex
import subprocess
import sys

import yaml

from tests.deploy.faults import of_kind
from tests.deploy.test_schemas import VERSIONS, models
from tests.deploy.tools import ROOT, manifests, run, tool

FIELDS = {
    "RayJob.spec": {
        "entrypoint", "submissionMode", "backoffLimit", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished",
        "rayClusterSpec", "activeDeadlineSeconds", "suspend",
    },
    "rayClusterSpec": {"rayVersion", "headGroupSpec", "workerGroupSpecs", "enableInTreeAutoscaling"},
    "headGroupSpec": {"rayStartParams", "template"},
    "workerGroupSpecs": {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"},
}  # fmt: skip
"""Of KubeRay's ray.io/v1, whose schema no package has."""


def parts():
    [job] = of_kind(manifests(ROOT / "k8s/bulk"), "RayJob")
    cluster = job["spec"]["rayClusterSpec"]
    return job, cluster, [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


def pods():
    _, _, groups = parts()
    return [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"pod-{number}", **group["template"]["metadata"]},
         "spec": group["template"]["spec"]}
        for number, group in enumerate(groups)
    ]  # fmt: skip


def test_the_fields_are_those_of_kuberay():
    job, cluster, [head, *workers] = parts()
    assert job["apiVersion"] == "ray.io/v1"
    assert job["spec"].keys() <= FIELDS["RayJob.spec"]
    assert job["spec"]["submissionMode"] in {"K8sJobMode", "HTTPMode", "SidecarMode"}
    assert cluster.keys() <= FIELDS["rayClusterSpec"]
    assert head.keys() == FIELDS["headGroupSpec"]
    for group in workers:
        assert group.keys() == FIELDS["workerGroupSpecs"]
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    for group in (head, *workers):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())


def test_the_pods_are_pods(tmp_path):
    (tmp_path / "pods.yaml").write_text(yaml.safe_dump_all(pods()))
    result = run(tool("kubernetes-validate"), "-k", VERSIONS[-1], "--strict", "--quiet", str(tmp_path / "pods.yaml"))
    assert result.returncode == 0, result.stdout + result.stderr
    assert models(pods()) == []


def test_the_head_computes_nothing_and_answers_the_operator_alone():
    _, _, [head, *_] = parts()
    assert head["rayStartParams"]["num-cpus"] == "0"
    [policy] = of_kind(manifests(ROOT / "k8s/bulk"), "NetworkPolicy")
    labels = policy["spec"]["podSelector"]["matchLabels"]
    assert all(labels.items() <= pod["metadata"]["labels"].items() for pod in pods())
    open_to_others = [rule for rule in policy["spec"]["ingress"] if "ports" in rule]
    assert [[port["port"] for port in rule["ports"]] for rule in open_to_others] == [[8265]]
    assert 8265 in [port["containerPort"] for port in head["template"]["spec"]["containers"][0]["ports"]]


def test_the_entrypoint_is_understood():
    job, _, _ = parts()
    program, *arguments = shlex.split(job["spec"]["entrypoint"])
    assert program == "impasto"
    command = [
        sys.executable,
        "-c",
        "from service.cli.main import main; main()",
        *arguments,
        "--checkpoints",
        "/nowhere",
    ]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (
        2,
        "impasto: IMPASTO_CHECKPOINTS=/nowhere: no such folder (No such file or directory)\n",
    )


def test_one_version_of_ray():
    _, cluster, _ = parts()
    image = re.search(r"RAY_VERSION=(\S+)", (ROOT / "docker/bulk.Dockerfile").read_text())[1]
    tests = re.search(r"ray\[data\]==(\S+)", (ROOT / "tests/service/cli/bulk/requirements.txt").read_text())[1]
    assert cluster["rayVersion"] == image == tests
