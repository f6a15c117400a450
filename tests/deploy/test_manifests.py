"""The manifests as they render: no fault that a schema misses, and every planted one is found."""

import copy
from collections.abc import Callable

import pytest

from tests.deploy.faults import faults, of_kind
from tests.deploy.tools import KUSTOMIZATIONS, ROOT, Manifest, combinations, manifests, run, tool, with_component


@pytest.mark.parametrize("name", KUSTOMIZATIONS)
def test_what_is_applied_has_no_faults(name):
    assert faults(manifests(ROOT / "k8s" / name)) == []


@pytest.mark.parametrize("names", combinations(), ids="+".join)
def test_components_on_the_base_have_no_faults(names, tmp_path):
    assert faults(manifests(with_component(tmp_path, *names))) == []


def test_a_job_waits_in_its_queue(tmp_path):
    [job] = of_kind(manifests(with_component(tmp_path, "kueue", of="training")), "Job")
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "training"
    assert job["spec"]["suspend"] is True


def test_two_autoscalers_are_a_fault(tmp_path):
    both = run(tool("kubectl"), "kustomize", str(with_component(tmp_path, "hpa", "keda")))
    assert "/spec/replicas" in both.stderr  # which the first has taken away
    (tmp_path / "keda").mkdir()
    scaled = of_kind(manifests(with_component(tmp_path / "keda", "keda")), "ScaledObject")
    assert any("fight" in fault for fault in faults(manifests(ROOT / "k8s/overlays/cpu") + scaled))


def one(found: list[Manifest], kind: str) -> Manifest:
    return of_kind(found, kind)[0]


def pod(found: list[Manifest], kind: str = "Deployment") -> Manifest:
    return one(found, kind)["spec"]["template"]["spec"]


def gpu_request(found: list[Manifest]) -> None:
    pod(found)["containers"][0]["resources"]["requests"]["nvidia.com/gpu"] = 2


PLANTED: dict[str, tuple[str, Callable[[list[Manifest]], object], str]] = {
    "selector": (
        "overlays/cpu",
        lambda m: one(m, "Deployment")["spec"]["selector"]["matchLabels"].update({"app.kubernetes.io/name": "other"}),
        "does not select its own template",
    ),
    "service selector": (
        "overlays/cpu",
        lambda m: one(m, "Service")["spec"]["selector"].update({"app.kubernetes.io/name": "other"}),
        "selects no pod",
    ),
    "budget selector": (
        "overlays/cpu",
        lambda m: one(m, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"].update({"a": "b"}),
        "selects no pod",
    ),
    "spread": (
        "overlays/cpu",
        lambda m: pod(m)["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"].update({"a": "b"}),
        "select other pods",
    ),
    "probe port": (
        "overlays/cpu",
        lambda m: pod(m)["containers"][0]["readinessProbe"]["httpGet"].update(port="web"),
        "readinessProbe asks port web",
    ),
    "service port": (
        "overlays/cpu",
        lambda m: one(m, "Service")["spec"]["ports"][0].update(targetPort="web"),
        "targetPort web",
    ),
    "policy port": (
        "overlays/cpu",
        lambda m: one(m, "NetworkPolicy")["spec"]["ingress"][0]["ports"][0].update(port=9000),
        "port 9000",
    ),
    "mount": (
        "overlays/cpu",
        lambda m: pod(m)["containers"][0]["volumeMounts"].append({"name": "cache", "mountPath": "/cache"}),
        "volumeMount cache without a volume",
    ),
    "mount of the trainer": (
        "training/job",
        lambda m: pod(m, "Job")["volumes"].pop(0),
        "volumeMount photographs without a volume",
    ),
    "claim": (
        "training/job",
        lambda m: pod(m, "Job")["volumes"][0]["persistentVolumeClaim"].update(claimName="photos"),
        "no claim photos",
    ),
    "settings": (
        "overlays/cpu",
        lambda m: pod(m)["containers"][0]["envFrom"][0]["configMapRef"].update(name="settings"),
        "no ConfigMap settings",
    ),
    "account": ("overlays/cpu", lambda m: pod(m).update(serviceAccountName="nobody"), "no ServiceAccount nobody"),
    "subdomain": ("training/nodes", lambda m: pod(m, "Job").update(subdomain="nodes"), "without a headless Service"),
    "name": ("overlays/cpu", lambda m: one(m, "Service")["metadata"].update(name="Impasto_1"), "not a DNS name"),
    "gpu": ("overlays/gpu", gpu_request, "nvidia.com/gpu must be requested and limited alike"),
    "memory": (
        "overlays/cpu",
        lambda m: pod(m)["containers"][0]["resources"]["limits"].pop("memory"),
        "no limit of memory",
    ),
    "rollout": (
        "overlays/gpu",
        lambda m: one(m, "Deployment")["spec"]["strategy"]["rollingUpdate"].update(maxUnavailable=0),
        "no rollout can begin",
    ),
    "replicas": (
        "overlays/cpu",
        lambda m: one(m, "HorizontalPodAutoscaler")["spec"].update(minReplicas=50),
        "at least 50, at most 20",
    ),
    "fixed replicas": ("overlays/cpu", lambda m: one(m, "Deployment")["spec"].update(replicas=2), "undoes"),
    "target type": (
        "overlays/cpu",
        lambda m: one(m, "HorizontalPodAutoscaler")["spec"]["metrics"][0]["pods"]["target"].update(
            type="Utilization", averageUtilization=70
        ),
        "needs a target of type AverageValue",
    ),
    "scaled": (
        "overlays/cpu",
        lambda m: one(m, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"].update(name="other"),
        "no Deployment other",
    ),
    "restart": ("training/job", lambda m: pod(m, "Job").update(restartPolicy="Always"), "restartPolicy"),
    "links": ("overlays/cpu", lambda m: pod(m).pop("enableServiceLinks"), "IMPASTO_PORT"),
    "token": ("training/nodes", lambda m: pod(m, "Job").pop("automountServiceAccountToken"), "token"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found(name):
    kustomization, plant, expected = PLANTED[name]
    found = copy.deepcopy(manifests(ROOT / "k8s" / kustomization))
    plant(found)
    assert any(expected in fault for fault in faults(found)), faults(found)
