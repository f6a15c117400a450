"""Faults of manifests that no schema catches: each check yields a line for every fault that it finds."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from tests.deploy.tools import Manifest

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_ELSEWHERE = {"impasto-checkpoints", "impasto-tls"}
"""What another kustomization, or the user, brings."""

Check = Callable[[list[Manifest]], Iterator[str]]


def faults(found: list[Manifest]) -> list[str]:
    """Every fault in what one kustomization renders."""
    return [line for check in CHECKS for line in check(found)]


def _called(manifest: Manifest) -> str:
    return f"{manifest['kind']} {manifest['metadata'].get('name')}"


def of_kind(found: list[Manifest], *kinds: str) -> list[Manifest]:
    return [manifest for manifest in found if manifest["kind"] in kinds]


def pod_templates(found: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """(what it belongs to, template) of every Deployment and Job, and of the head and the workers of a RayJob."""
    for manifest in of_kind(found, "Deployment", "Job"):
        yield _called(manifest), manifest["spec"]["template"]
    for manifest in of_kind(found, "RayJob"):
        cluster = manifest["spec"]["rayClusterSpec"]
        for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
            yield _called(manifest), group["template"]


def containers(template: Manifest) -> list[Manifest]:
    return [*template["spec"].get("initContainers", []), *template["spec"]["containers"]]


def _selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", selector).items())


def names(found: list[Manifest]) -> Iterator[str]:
    for manifest in found:
        if not _NAME.fullmatch(str(manifest["metadata"].get("name", ""))):
            yield f"{_called(manifest)}: not a DNS name"
    keys = [(m["kind"], m["metadata"]["name"]) for m in found]
    yield from (f"{kind} {name}: twice" for kind, name in set(keys) if keys.count((kind, name)) > 1)


def selectors(found: list[Manifest]) -> Iterator[str]:
    labels = []
    for owner, template in pod_templates(found):
        given = {**template["metadata"]["labels"]}
        if owner.startswith("Job "):
            given["job-name"] = owner.removeprefix("Job ")  # by the Job controller
        labels.append(given)
        for spread in template["spec"].get("topologySpreadConstraints", []):
            if not _selects(spread["labelSelector"], given):
                yield f"{owner}: topologySpreadConstraints select other pods"
    for manifest in of_kind(found, "Deployment"):
        if not _selects(manifest["spec"]["selector"], manifest["spec"]["template"]["metadata"]["labels"]):
            yield f"{_called(manifest)}: the selector does not select its own template"
    for manifest in of_kind(found, "Service", "PodDisruptionBudget", "NetworkPolicy"):
        selector = manifest["spec"].get("selector") or manifest["spec"].get("podSelector") or {}
        if labels and not any(_selects(selector, each) for each in labels):
            yield f"{_called(manifest)}: selects no pod"
    for manifest in of_kind(found, "ServiceMonitor"):
        services = [s["metadata"].get("labels", {}) for s in of_kind(found, "Service")]
        if not any(_selects(manifest["spec"]["selector"], each) for each in services):
            yield f"{_called(manifest)}: selects no Service"


def ports(found: list[Manifest]) -> Iterator[str]:
    declared: set[str | int] = set()
    for owner, template in pod_templates(found):
        for container in containers(template):
            own = {port.get("name") for port in container.get("ports", [])}
            declared |= own | {port["containerPort"] for port in container.get("ports", [])}
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                port = container.get(probe, {}).get("httpGet", {}).get("port")
                if port is not None and port not in own:
                    yield f"{owner}: {probe} asks port {port}, which its container does not declare"
    served: dict[str, set[str | int]] = {}
    for manifest in of_kind(found, "Service"):
        served[manifest["metadata"]["name"]] = set()
        for port in manifest["spec"]["ports"]:
            served[manifest["metadata"]["name"]] |= {port.get("name"), port["port"]}
            if (target := port.get("targetPort", port["port"])) not in declared:
                yield f"{_called(manifest)}: targetPort {target} is declared by no container"
    for manifest in of_kind(found, "NetworkPolicy"):
        for rule in manifest["spec"].get("ingress", []):
            for port in rule.get("ports", []):
                if port["port"] not in declared:
                    yield f"{_called(manifest)}: port {port['port']} is declared by no container"
    for manifest in of_kind(found, "ServiceMonitor"):
        for endpoint in manifest["spec"]["endpoints"]:
            if not any(endpoint["port"] in each for each in served.values()):
                yield f"{_called(manifest)}: no Service has a port {endpoint['port']}"
    for called, name, port in _backends(found):
        if port not in served.get(name, set()):
            yield f"{called}: no Service {name} with port {port}"


def _backends(found: list[Manifest]) -> Iterator[tuple[str, str, Any]]:
    for manifest in of_kind(found, "HTTPRoute"):
        for rule in manifest["spec"]["rules"]:
            yield from ((_called(manifest), each["name"], each["port"]) for each in rule["backendRefs"])
    for manifest in of_kind(found, "Ingress"):
        for rule in manifest["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                service = path["backend"]["service"]
                yield _called(manifest), service["name"], service["port"].get("name", service["port"].get("number"))


def references(found: list[Manifest]) -> Iterator[str]:
    present = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in found}

    def there(kind: str, name: str) -> bool:
        return (kind, name) in present or name in _ELSEWHERE

    for owner, template in pod_templates(found):
        spec = template["spec"]
        volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
        mounted = {mount["name"] for each in containers(template) for mount in each.get("volumeMounts", [])}
        yield from (f"{owner}: volumeMount {name} without a volume" for name in mounted - volumes.keys())
        yield from (f"{owner}: volume {name} is mounted nowhere" for name in volumes.keys() - mounted)
        for volume in volumes.values():
            claim = volume.get("persistentVolumeClaim", {}).get("claimName")
            if claim and not there("PersistentVolumeClaim", claim):
                yield f"{owner}: no claim {claim}"
        for container in containers(template):
            names = [each["name"] for each in container.get("env", [])]
            yield from (f"{owner}: {name} is set twice" for name in set(names) if names.count(name) > 1)
            for source in container.get("envFrom", []):
                if not there("ConfigMap", source["configMapRef"]["name"]):
                    yield f"{owner}: no ConfigMap {source['configMapRef']['name']}"
        account = spec.get("serviceAccountName")
        if account and not there("ServiceAccount", account):
            yield f"{owner}: no ServiceAccount {account}"
        if spec.get("subdomain") and not there("Service", spec["subdomain"]):
            yield f"{owner}: subdomain {spec['subdomain']} without a headless Service"


def resources(found: list[Manifest]) -> Iterator[str]:
    for owner, template in pod_templates(found):
        for container in containers(template):
            given = container.get("resources", {})
            requests, limits = given.get("requests", {}), given.get("limits", {})
            for name in {*requests, *limits}:
                if "/" in name and requests.get(name) != limits.get(name):
                    yield f"{owner}: {name} must be requested and limited alike"
            yield from (f"{owner}: no {name} requested" for name in ("cpu", "memory") if name not in requests)
            if "memory" not in limits:
                yield f"{owner}: no limit of memory"


def rollouts(found: list[Manifest]) -> Iterator[str]:
    for manifest in of_kind(found, "Deployment"):
        update = manifest["spec"]["strategy"]["rollingUpdate"]
        if update["maxSurge"] == 0 and update["maxUnavailable"] == 0:
            yield f"{_called(manifest)}: maxSurge and maxUnavailable are both 0, so no rollout can begin"
    for manifest in of_kind(found, "Job"):
        if manifest["spec"]["template"]["spec"]["restartPolicy"] not in {"Never", "OnFailure"}:
            yield f"{_called(manifest)}: restartPolicy must be Never or OnFailure"


def autoscalers(found: list[Manifest]) -> Iterator[str]:
    deployments = {manifest["metadata"]["name"]: manifest for manifest in of_kind(found, "Deployment")}
    scaled = of_kind(found, "HorizontalPodAutoscaler", "ScaledObject")
    for name in {manifest["spec"]["scaleTargetRef"]["name"] for manifest in scaled}:
        same = [manifest for manifest in scaled if manifest["spec"]["scaleTargetRef"]["name"] == name]
        if len(same) > 1:
            yield f"{' and '.join(map(_called, same))}: they would fight over one Deployment"
    for manifest in scaled:
        spec, called = manifest["spec"], _called(manifest)
        target = deployments.get(spec["scaleTargetRef"]["name"])
        if target is None:
            yield f"{called}: no Deployment {spec['scaleTargetRef']['name']}"
        elif "replicas" in target["spec"]:
            yield f"{called}: the Deployment sets replicas too, so each apply undoes the autoscaler"
        least = spec.get("minReplicas", spec.get("minReplicaCount"))
        most = spec.get("maxReplicas", spec.get("maxReplicaCount"))
        if least > most:
            yield f"{called}: at least {least}, at most {most}"
        for metric in spec.get("metrics", []):
            source = metric[metric["type"][0].lower() + metric["type"][1:]]
            kind = source["target"]["type"]
            if metric["type"] == "Pods" and kind != "AverageValue":
                yield f"{called}: a metric of pods needs a target of type AverageValue"
            field = {"AverageValue": "averageValue", "Utilization": "averageUtilization", "Value": "value"}[kind]
            if field not in source["target"]:
                yield f"{called}: a target of type {kind} needs {field}"
        for trigger in spec.get("triggers", []):
            if trigger.get("metricType") not in {"AverageValue", "Value", "Utilization"}:
                yield f"{called}: metricType {trigger.get('metricType')}"
            access = trigger.get("authenticationRef", {}).get("name")
            if access and access not in {m["metadata"]["name"] for m in of_kind(found, "TriggerAuthentication")}:
                yield f"{called}: no TriggerAuthentication {access}"


def namespaces(found: list[Manifest]) -> Iterator[str]:
    """An overlay may have another namespace: what names it in passing must follow."""
    own = {m["metadata"]["namespace"] for m in found if "namespace" in m["metadata"]}
    yield from (
        f"{_called(m)}: is not the namespace of the others"
        for m in found
        if m["kind"] == "Namespace" and {m["metadata"]["name"]} != own
    )
    if len(own) > 1:
        yield f"namespaces {', '.join(sorted(own))}: expected one"
    for manifest in of_kind(found, "ScaledObject"):
        for trigger in manifest["spec"]["triggers"]:
            asked = set(re.findall(r'namespace="([^"]*)"', trigger["metadata"].get("query", "")))
            if not asked <= own:
                yield f"{_called(manifest)}: asks for the metrics of namespace {', '.join(sorted(asked))}"


def egress(found: list[Manifest]) -> Iterator[str]:
    """Whatever the service is told to call must be let out, and the name asked for: else it fails in silence."""
    for policy in of_kind(found, "NetworkPolicy"):
        rules = policy["spec"].get("egress", [])
        opened = {port["port"] for rule in rules for port in rule.get("ports", [])}
        wanted = {port for owner, port in _ports_asked(found) if owner == policy["metadata"]["name"]}
        if wanted and 53 not in opened:
            yield f"{_called(policy)}: lets no question to the DNS out"
        yield from (f"{_called(policy)}: lets nothing out to port {port}" for port in sorted(wanted - opened))
        if any("to" not in rule for rule in rules):
            yield f"{_called(policy)}: an egress rule for every address"


def _ports_asked(found: list[Manifest]) -> Iterator[tuple[str, int]]:
    """(policy, port) of what the settings name."""
    for deployment in of_kind(found, "Deployment"):
        for container in containers(deployment["spec"]["template"]):
            if {"IMPASTO_JOB_STORE", "IMPASTO_QUOTA_STORE"} & {each["name"] for each in container.get("env", [])}:
                yield "impasto", 6379
    for config in of_kind(found, "ConfigMap"):
        for value in config["data"].values():
            if match := re.fullmatch(r"https?://[a-z0-9.-]+:(\d+)", value):
                yield "impasto", int(match[1])


def hardening(found: list[Manifest]) -> Iterator[str]:
    for owner, template in pod_templates(found):
        if template["spec"].get("enableServiceLinks") is not False:
            yield f"{owner}: a Service called impasto would set IMPASTO_PORT to tcp://..."
        if template["spec"].get("automountServiceAccountToken") is not False:
            yield f"{owner}: has a token of its service account"


CHECKS: tuple[Check, ...] = (
    names,
    selectors,
    ports,
    references,
    resources,
    rollouts,
    autoscalers,
    namespaces,
    egress,
    hardening,
)
