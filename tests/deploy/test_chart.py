"""The Helm chart, rendered by Helm itself: its defaults are overlays/cpu; its values do what the components do."""

import json
from typing import Any

import pytest
import yaml

from tests.deploy.faults import faults, of_kind
from tests.deploy.test_schemas import CUSTOM, VERSIONS, models
from tests.deploy.tools import ENVIRONMENT, ROOT, Manifest, manifests, missing, run, tool, with_component

DIGEST = "sha256:" + "ab" * 32
APART = (
    "app.kubernetes.io/instance",
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/part-of",
    "helm.sh/chart",
    "helm.sh/resource-policy",
)
"""Labels and annotations that only Helm sets, or sets elsewhere, and that nothing selects by."""


def helm(values: dict[str, Any], name: str = "impasto", namespace: str = "impasto") -> dict[str, Any]:
    """What tests/deploy/helm.py says."""
    python = ENVIRONMENT / "bin/python"
    if not python.exists():
        missing("helm-python-sdk is not here")
    asked = json.dumps({"values": values, "name": name, "namespace": namespace})
    result = run(str(python), "tests/deploy/helm.py", input=asked)
    assert result.returncode == 0, result.stderr
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def chart(values: dict[str, Any], name: str = "impasto", namespace: str = "impasto") -> list[Manifest]:
    answer = helm(values, name, namespace)
    assert answer["error"] == ""
    assert answer["lint"] == [] or all(message["severity"] <= 1 for message in answer["lint"]), answer["lint"]
    texts = [text for path, text in answer["manifests"].items() if path.endswith(".yaml")]
    return [each for text in texts for each in yaml.safe_load_all(text) if each]


def comparable(found: list[Manifest]) -> dict[tuple[str, str], Manifest]:
    """Manifests by kind and name, without Helm's labels and hashes in names."""
    return {(m["kind"], plain_name(m["metadata"]["name"])): plain(m) for m in found if m["kind"] != "Namespace"}


def plain_name(name: str) -> str:
    return "impasto-settings" if name.startswith("impasto-settings-") else name


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {key: plain(each) for key, each in value.items() if key not in APART and key != "creationTimestamp"}
        return {key: each for key, each in kept.items() if each or key not in {"labels", "annotations"}}
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, str):
        return {"4M": "4000000", "40M": "40000000"}.get(value, plain_name(value))
    return value


def test_the_defaults_are_the_cpu_overlay():
    ours, theirs = comparable(manifests(ROOT / "k8s/overlays/cpu")), comparable(chart({}))
    assert theirs.keys() == ours.keys()
    for key, manifest in ours.items():
        assert theirs[key] == manifest, key


REDIS: dict[str, Any] = {"jobStore": {"secret": "impasto-redis"}, "quotaStore": {"secret": "impasto-redis"}}
VALUES: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "hpa": (("hpa",), {}),
    "keda": (("keda",), {"autoscaling": {"kind": "keda"}}),
    "keys": (("hpa", "keys"), {"keys": {"secret": "impasto-keys"}}),
    "gateway": (("hpa", "gateway"), {"gateway": {"enabled": True}}),
    "ingress": (("hpa", "ingress"), {"ingress": {"enabled": True}}),
    "monitoring": (("hpa", "monitoring"), {"monitoring": {"enabled": True}}),
    "redis": (("hpa", "redis"), REDIS),
    "webhooks": (("hpa", "webhooks"), {"webhooks": {"hosts": "hooks.example.com", "secret": "impasto-webhooks"}}),
    "keda-jobs": (("redis", "keda", "keda-jobs"), {**REDIS, "autoscaling": {"kind": "keda", "queueJobs": 10}}),
    "learning": (("hpa", "learning"), {"learning": {"enabled": True}}),
    "keda-learning": (
        ("keda", "learning", "keda-learning"),
        {"autoscaling": {"kind": "keda"}, "learning": {"enabled": True, "maxReplicas": 4}},
    ),
    "otel": (("hpa", "otel"), {"otlp": {"endpoint": "http://otel-collector.observability.svc:4318"}}),
}


@pytest.mark.parametrize("name", VALUES)
def test_values_do_what_the_components_do(name, tmp_path):
    components, values = VALUES[name]
    values = {**values, "settings": {"IMPASTO_DEVICE": "cpu"}}
    folder = with_component(
        tmp_path,
        *components,
        configMapGenerator=[
            {
                "name": "impasto-settings",
                "namespace": "impasto",
                "behavior": "merge",
                "literals": ["IMPASTO_DEVICE=cpu"],
            }
        ],
    )
    ours, theirs = comparable(manifests(folder)), comparable(chart(values))
    assert theirs.keys() == ours.keys()
    for key, manifest in ours.items():
        assert ordered(theirs[key]) == ordered(manifest), key


def ordered(manifest: Manifest) -> Any:
    """The paths of an Ingress sorted (a template walks a table by key), and a dashboard as JSON."""
    if manifest["kind"] == "Ingress":
        manifest["spec"]["rules"][0]["http"]["paths"].sort(key=lambda path: path["path"])
    if "impasto.json" in manifest.get("data", {}):
        manifest["data"]["impasto.json"] = json.loads(manifest["data"]["impasto.json"])
    return manifest


EVERYTHING: dict[str, Any] = {
    "image": {"repository": "registry.example.com/impasto-service", "digest": DIGEST, "pullSecrets": ["registry"]},
    "keys": {"secret": "impasto-keys"},
    "adminKey": {"secret": "impasto-admin"},
    "checkpoints": {"image": f"registry.example.com/impasto-checkpoints@{DIGEST}"},
    "jobStore": {"secret": "impasto-jobs", "egress": {"namespace": "jobs", "port": 6380}},
    "quotaStore": {"secret": "impasto-redis", "fail": "closed"},
    "learning": {"enabled": True, "claim": "styles", "replicas": 2, "image": {"digest": DIGEST}},
    "webhooks": {"hosts": "*", "secret": "impasto-webhooks"},
    "otlp": {"endpoint": "http://otel-collector.observability.svc:4318"},
    "probePort": 8001,
    "priorityClassName": "high",
    "gateway": {"enabled": True},
    "monitoring": {"enabled": True, "labels": {"release": "prom"}, "runbooks": "https://wiki.example.com/alerts"},
    "networkPolicy": {"namespaces": ["edge", "metrics"], "ipBlocks": ["10.1.0.0/16"]},
    "autoscaling": {"kind": "keda", "min": 3, "max": 9, "queueJobs": 20},
}


def test_every_value_at_once_has_no_faults_and_shows():
    found = chart(EVERYTHING, namespace="painting")
    assert faults(found) == ["Deployment impasto: no claim styles", "Deployment impasto-trainer: no claim styles"]
    deployment, trainer = of_kind(found, "Deployment")
    assert trainer["spec"]["replicas"] == 2
    assert trainer["spec"]["template"]["spec"]["imagePullSecrets"] == [{"name": "registry"}]
    assert trainer["spec"]["template"]["spec"]["containers"][0]["image"] == f"impasto-trainer@{DIGEST}"
    spec = deployment["spec"]["template"]["spec"]
    [container] = spec["containers"]
    assert container["image"] == f"registry.example.com/impasto-service@{DIGEST}"
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert spec["priorityClassName"] == "high"
    assert container["readinessProbe"]["httpGet"]["port"] == "probes"
    assert {each["name"]: each["valueFrom"]["secretKeyRef"]["name"] for each in container["env"]} == {
        "IMPASTO_JOB_STORE": "impasto-jobs",
        "IMPASTO_QUOTA_STORE": "impasto-redis",
        "IMPASTO_ADMIN_KEY": "impasto-admin",
    }
    [policy] = [each for each in of_kind(found, "NetworkPolicy") if each["metadata"]["name"] == "impasto"]
    assert {"ipBlock": {"cidr": "10.1.0.0/16"}} in policy["spec"]["ingress"][0]["from"]
    assert len(policy["spec"]["egress"]) == 8
    [monitor], [rules] = of_kind(found, "ServiceMonitor"), of_kind(found, "PrometheusRule")
    assert monitor["spec"]["endpoints"][0]["port"] == "probes"
    assert monitor["metadata"]["labels"]["release"] == rules["metadata"]["labels"]["release"] == "prom"
    assert "https://wiki.example.com/alerts#impastoreplicadown" in json.dumps(rules)
    assert "docs.example.com" not in json.dumps(rules)


@pytest.mark.parametrize("version", VERSIONS)
def test_it_fits_kubernetes_schemas(version, tmp_path):
    path = tmp_path / "chart.yaml"
    path.write_text(yaml.safe_dump_all(m for m in chart(EVERYTHING) if m["kind"] not in CUSTOM))
    result = run(tool("kubernetes-validate"), "-k", version, "--strict", "--quiet", str(path))
    assert result.returncode == 0, result.stdout + result.stderr
    assert models(chart(EVERYTHING)) == []


def test_two_releases_in_one_namespace_do_not_select_each_others_pods():
    one, other = (chart({"learning": {"enabled": True}}, name=name) for name in ("one", "other"))
    assert of_kind(one, "Service")[0]["spec"]["selector"] != of_kind(other, "Service")[0]["spec"]["selector"]
    selectors = [each["spec"]["selector"]["matchLabels"] for each in of_kind(one + other, "Deployment")]
    assert len({frozenset(each.items()) for each in selectors}) == 4
    claims = {
        each["metadata"]["name"]: each["metadata"]["annotations"] for each in of_kind(one, "PersistentVolumeClaim")
    }
    assert claims == {"one-learned": {"helm.sh/resource-policy": "keep"}}


def test_a_changed_setting_has_another_name():
    names = {
        of_kind(chart({"settings": {"IMPASTO_MAX_REQUESTS": number}}), "ConfigMap")[0]["metadata"]["name"]
        for number in ("16", "32")
    }
    assert len(names) == 2


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"image": {"digest": "latest"}}, "image"),
        ({"settings": {"MAX_REQUESTS": "16"}}, "MAX_REQUESTS"),
        ({"settings": {"IMPASTO_MAX_REQUESTS": 16}}, "IMPASTO_MAX_REQUESTS"),
        ({"checkpoints": {"image": "registry.example.com/impasto-checkpoints:1"}}, "checkpoints"),
        ({"checkpoints": {"claim": "a", "image": f"b@{DIGEST}"}}, "checkpoints"),
        ({"autoscaling": {"kind": "both"}}, "autoscaling"),
        ({"autoscaling": {"queueJobs": 5}, **REDIS}, "autoscaling.queueJobs=5: expected 0, or autoscaling.kind=keda"),
        ({"autoscaling": {"kind": "keda", "queueJobs": 5}}, "and jobStore.secret"),
        ({"autoscaling": {"min": 30}}, "autoscaling.min=30: expected no more than autoscaling.max=20"),
        ({"learning": {"storage": "much"}}, "storage"),
        ({"webhooks": {"hosts": "*"}}, "webhooks.hosts=*: expected webhooks.secret, too"),
        ({"keyz": {"secret": "a"}}, "keyz"),
        ({"networkPolicy": {"ipBlocks": ["10.0.0.1"]}}, "ipBlocks"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(values, said):
    answer = helm(values)
    assert said in answer["error"]
