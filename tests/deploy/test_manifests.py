"""The manifests as they render: no fault that a schema misses, and every planted one is found."""

import copy
import json
import subprocess
import sys
from collections.abc import Callable

import pytest

from nets.spool import Spool
from tests.deploy.faults import faults, of_kind
from tests.deploy.tools import (
    KUSTOMIZATIONS,
    ROOT,
    Manifest,
    combinations,
    manifests,
    run,
    tool,
    variants,
    with_component,
)


@pytest.mark.parametrize("name", KUSTOMIZATIONS)
def test_what_is_applied_has_no_faults(name):
    assert faults(manifests(ROOT / "k8s" / name)) == []


@pytest.mark.parametrize("names", combinations(), ids="+".join)
def test_components_on_the_base_have_no_faults(names):
    assert faults(manifests(variants()["+".join(names)])) == []


def test_a_job_waits_in_its_queue(tmp_path):
    [job] = of_kind(manifests(with_component(tmp_path, "kueue", of="training")), "Job")
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "training"
    assert job["spec"]["suspend"] is True


def test_keda_asks_for_the_namespace_of_the_overlay(tmp_path):
    """An overlay that only sets another namespace leaves the query as it was; overlays/example puts it in."""
    found = manifests(with_component(tmp_path, "keda", namespace="painting"))
    assert any("asks for the metrics of namespace impasto" in fault for fault in faults(found))
    example = manifests(ROOT / "k8s/overlays/example")
    [scaled] = of_kind(example, "ScaledObject")
    assert scaled["metadata"]["namespace"] == "painting"
    assert 'namespace="painting"' in scaled["spec"]["triggers"][0]["metadata"]["query"]


def test_a_metric_that_is_not_there_is_an_error_and_no_empty_queue(tmp_path):
    [scaled] = of_kind(manifests(with_component(tmp_path, "keda")), "ScaledObject")
    assert scaled["spec"]["triggers"][0]["metadata"]["ignoreNullValues"] == "false"


@pytest.mark.parametrize(
    ("scaler", "kind", "threshold"),
    [
        ("hpa", "HorizontalPodAutoscaler", lambda spec: spec["metrics"][0]["pods"]["target"]["averageValue"]),
        ("keda", "ScaledObject", lambda spec: spec["triggers"][0]["metadata"]["threshold"]),
    ],
)
def test_a_gpu_has_a_threshold_of_its_own_by_either_autoscaler(scaler, kind, threshold, tmp_path):
    [on_cpu] = of_kind(manifests(with_component(tmp_path / "cpu", scaler)), kind)
    [on_gpu] = of_kind(manifests(with_component(tmp_path / "gpu", scaler, "gpu")), kind)
    number = {"4M": 4e6, "40M": 40e6, "4000000": 4e6, "40000000": 40e6}
    assert number[threshold(on_gpu["spec"])] == 10 * number[threshold(on_cpu["spec"])] == 40e6


def test_a_gpu_is_found_by_the_device_plugins_resource_alone():
    """The plugin sets no label; a label that only GPU feature discovery sets would leave the pods pending."""
    spec = pod(manifests(ROOT / "k8s/overlays/gpu"))
    assert "affinity" not in spec
    assert "nodeSelector" not in spec
    assert spec["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1


def test_the_driver_has_a_place_for_what_it_compiles():
    spec = pod(manifests(ROOT / "k8s/overlays/gpu"))
    [container] = spec["containers"]
    [path] = [each["value"] for each in container["env"] if each["name"] == "CUDA_CACHE_PATH"]
    [mount] = [each for each in container["volumeMounts"] if each["mountPath"] == path]
    [volume] = [each for each in spec["volumes"] if each["name"] == mount["name"]]
    assert "emptyDir" in volume
    assert not mount.get("readOnly")


def test_images_for_cpu_and_gpu_have_tags_of_their_own():
    """One tag for both would leave on a node whichever came first, by IfNotPresent."""
    images = {name: pod(manifests(ROOT / "k8s/overlays" / name))["containers"][0]["image"] for name in ("cpu", "gpu")}
    assert images == {"cpu": "impasto-service:0.1.0-cpu", "gpu": "impasto-service:0.1.0-cuda"}


def test_the_stores_and_traces_are_let_out(tmp_path):
    [policy] = of_kind(manifests(with_component(tmp_path, "redis", "otel")), "NetworkPolicy")
    ports = [[port["port"] for port in rule["ports"]] for rule in policy["spec"]["egress"]]
    assert sorted(map(tuple, ports)) == [(53, 53), (53, 53), (4318,), (6379,)]
    [closed] = of_kind(manifests(ROOT / "k8s/overlays/cpu"), "NetworkPolicy")
    assert closed["spec"]["egress"] == []
    assert "Egress" in closed["spec"]["policyTypes"]


def test_a_volume_of_checkpoints_is_watched(tmp_path):
    """POST /models/reload reaches one replica of many; what appears in the volume must reach all."""
    [config] = of_kind(manifests(with_component(tmp_path, "checkpoints-pvc")), "ConfigMap")
    assert float(config["data"]["IMPASTO_WATCH_SECONDS"]) > 0


def test_a_trainer_and_the_service_share_the_volume_of_learned_styles(tmp_path):
    found = manifests(with_component(tmp_path, "learning"))
    [config] = of_kind(found, "ConfigMap")
    assert config["data"]["IMPASTO_TRAINER"] == "external"
    pods = {each["metadata"]["name"]: each["spec"]["template"]["spec"] for each in of_kind(found, "Deployment")}
    for spec in (pods["impasto"], pods["impasto-trainer"]):
        [volume] = [each["name"] for each in spec["volumes"] if "persistentVolumeClaim" in each]
        [mount] = [each for each in spec["containers"][0]["volumeMounts"] if each["name"] == volume]
        assert mount == {"name": volume, "mountPath": config["data"]["IMPASTO_LEARNED"]}
        assert spec["securityContext"]["fsGroup"] == 10001
    assert pods["impasto-trainer"]["containers"][0]["args"] == ["learn", config["data"]["IMPASTO_LEARNED"]]
    _, _, script = pods["impasto-trainer"]["containers"][0]["livenessProbe"]["exec"]["command"]
    script = script.replace(config["data"]["IMPASTO_LEARNED"], str(tmp_path))
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 1
    Spool(tmp_path).announce_trainer()
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0
    [policy] = [each for each in of_kind(found, "NetworkPolicy") if each["metadata"]["name"] == "impasto-trainer"]
    assert policy["spec"]["ingress"] == policy["spec"]["egress"] == []


def test_an_image_of_checkpoints_is_served_by_its_digests(tmp_path):
    [config] = of_kind(manifests(with_component(tmp_path, "checkpoints-oci")), "ConfigMap")
    assert config["data"]["IMPASTO_CHECKPOINT_DIGESTS"] == "require"


def test_the_operator_of_kube_prometheus_stack_finds_everything(tmp_path):
    found = manifests(with_component(tmp_path, "monitoring"))
    for manifest in of_kind(found, "ServiceMonitor", "PrometheusRule"):
        assert manifest["metadata"]["labels"]["release"] == "kube-prometheus-stack"
    [dashboard] = [m for m in of_kind(found, "ConfigMap") if m["metadata"]["name"] == "impasto-dashboard"]
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(dashboard["data"]["impasto.json"])["title"] == "Impasto"


def test_a_trigger_without_its_authentication_is_a_fault(tmp_path):
    found = copy.deepcopy(manifests(with_component(tmp_path, "redis", "keda", "keda-jobs")))
    [trigger] = [each for each in one(found, "ScaledObject")["spec"]["triggers"] if each["type"] == "redis"]
    trigger["authenticationRef"]["name"] = "other"
    assert any("no TriggerAuthentication other" in fault for fault in faults(found))


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
    "query": (
        "overlays/example",
        lambda m: one(m, "ScaledObject")["spec"]["triggers"][0]["metadata"].update(query='sum(a{namespace="impasto"})'),
        "asks for the metrics of namespace impasto",
    ),
    "another namespace": (
        "overlays/cpu",
        lambda m: one(m, "Service")["metadata"].update(namespace="other"),
        "expected one",
    ),
    "no way out": (
        "overlays/cpu",
        lambda m: one(m, "ConfigMap")["data"].update(OTEL_EXPORTER_OTLP_ENDPOINT="http://collector.traces.svc:4318"),
        "lets nothing out to port 4318",
    ),
    "links": ("overlays/cpu", lambda m: pod(m).pop("enableServiceLinks"), "IMPASTO_PORT"),
    "token": ("training/nodes", lambda m: pod(m, "Job").pop("automountServiceAccountToken"), "token"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found(name):
    kustomization, plant, expected = PLANTED[name]
    found = copy.deepcopy(manifests(ROOT / "k8s" / kustomization))
    plant(found)
    assert any(expected in fault for fault in faults(found)), faults(found)
