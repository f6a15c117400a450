"""What YAML names exists in the code: settings, metrics, routes, ports, users, recipes."""

import json
import math
import re
from pathlib import Path

import pytest
import yaml
from fastapi.routing import APIRoute
from prometheus_client import CollectorRegistry
from prometheus_client.utils import floatToGoString

from service import errors
from service.http.routes import operations, transform
from service.observability.metrics import Metrics
from service.settings import PREFIX, Settings
from tests.deploy.faults import containers, of_kind, pod_templates
from tests.deploy.tools import ROOT, Manifest, manifests, variants, with_component
from trainer.commands.options import STYLES_VARIABLE
from trainer.config import StyleRecipe, UpscaleRecipe, read_recipe
from trainer.objective.loss_network import ENVIRONMENT_VARIABLE

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
GPU = yaml.safe_load((ROOT / "docker-compose.gpu.yml").read_text())
DOCKERFILES = {name: (ROOT / f"docker/{name}.Dockerfile").read_text() for name in ("service", "trainer")}
OF_THE_TRAINER = {ENVIRONMENT_VARIABLE, STYLES_VARIABLE}
ROUTES = {
    (route.path, method)
    for router in (operations.probes, operations.internal, operations.router, transform.router)
    for route in router.routes
    if isinstance(route, APIRoute)
    for method in route.methods
} | {("/docs", "GET"), ("/openapi.json", "GET")}

PROMQL = {
    "rules": ROOT / "docker/prometheus/rules.yml",
    "dashboard": ROOT / "docker/grafana/dashboards/impasto.json",
    "hpa": ROOT / "k8s/components/hpa/hpa.yaml",
    "adapter": ROOT / "k8s/components/hpa/adapter-rules.yaml",
    "keda": ROOT / "k8s/components/keda/scaledobject.yaml",
    "keda-learning": ROOT / "k8s/components/keda-learning/scaledobject.yaml",
}


def default(text: str) -> str:
    """What compose makes of ${NAME:-default}."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def exported() -> set[str]:
    """Every name that a sample of the service may have."""
    endings = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"], "gauge": [""], "info": ["_info"]}
    families = Metrics(CollectorRegistry()).registry.collect()
    return {family.name + ending for family in families for ending in endings[family.type]}


@pytest.mark.parametrize("source", PROMQL)
def test_every_metric_is_exported(source):
    text = PROMQL[source].read_text()
    recorded = set(re.findall(r"record: (\S+)", PROMQL["rules"].read_text()))
    used = set(re.findall(r"(?<![\w:/.-])(?:job:)?impasto_\w+(?::\w+)?", text))
    assert used
    assert used - exported() - recorded == set()


@pytest.mark.parametrize("source", ["rules", "dashboard"])
def test_every_label_value_can_occur(source):
    text = PROMQL[source].read_text().replace('\\"', '"')
    codes = {value.code for value in vars(errors).values() if isinstance(value, type) and hasattr(value, "code")}
    known = {
        "route": {path for path, _ in ROUTES},
        "reason": codes | {"crash", "timeout", "killed", "idle"},  # of requests refused, of decoder processes replaced
        "stage": {"decode", "queue", "forward", "encode"},
        "direction": {"in", "out"},
        "le": {floatToGoString(bound) for bound in Metrics(CollectorRegistry()).http_request_duration._upper_bounds},
    }
    for label, values in known.items():
        for matched in re.findall(rf'\b{label}=~?"([^"]*)"', text):
            assert set(matched.split("|")) <= values, (label, matched)


@pytest.mark.parametrize(
    ("name", "label", "values"),
    [
        ("impasto_key_reloads_total", "outcome", {"taken", "refused"}),
        ("impasto_decoder_restarts_total", "reason", {"crash", "timeout", "killed", "idle"}),
    ],
)
def test_what_an_alert_waits_for_is_exported_from_the_start(name, label, values):
    """increase() sees nothing in a series that appears with its first event at 1."""
    [family] = [f for f in Metrics(CollectorRegistry()).registry.collect() if f"{f.name}_total" == name]
    assert {sample.labels[label] for sample in family.samples if sample.name == name} == values


@pytest.mark.parametrize("manifest", ["hpa", "keda"])
def test_the_autoscalers_aim_at_the_same(manifest):
    hpa = yaml.safe_load(PROMQL["hpa"].read_text())["spec"]
    keda = yaml.safe_load(PROMQL["keda"].read_text())["spec"]
    assert hpa["metrics"][0]["pods"]["target"]["averageValue"] == "4M"
    assert keda["triggers"][0]["metadata"]["threshold"] == "4000000"
    assert keda["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] == hpa["behavior"]
    assert (keda["minReplicaCount"], keda["maxReplicaCount"]) == (hpa["minReplicas"], hpa["maxReplicas"])


def settings_maps(found: list[Manifest]) -> list[Manifest]:
    """The ConfigMaps whose entries are the service's environment."""
    return [each for each in of_kind(found, "ConfigMap") if each["metadata"]["name"].startswith("impasto-settings")]


def accepted(given: dict[str, str]) -> None:
    """Every setting exists and its value is taken; OTEL_* are OpenTelemetry's own."""
    given = {name: value for name, value in given.items() if not name.startswith("OTEL_")}
    settings = {name.removeprefix(PREFIX).lower(): value for name, value in given.items()}
    assert set(settings) <= set(Settings.model_fields)
    Settings(**settings)


def test_settings_of_the_manifests():
    for folder in variants().values():
        for config in settings_maps(manifests(folder)):
            accepted(config["data"])


@pytest.mark.parametrize("compose", [COMPOSE, GPU], ids=["compose", "gpu"])
def test_settings_of_compose(compose):
    for name in ("service", "replica"):
        given = compose["services"][name]["environment"]
        accepted({name: default(value) for name, value in given.items()})
    for name in ("trainer", "learner"):
        assert set(COMPOSE["services"][name]["environment"]) <= OF_THE_TRAINER


def test_the_learner_of_compose_and_the_service_share_the_volume_of_learned_styles():
    service, learner = COMPOSE["services"]["service"], COMPOSE["services"]["learner"]
    folder = service["environment"]["IMPASTO_LEARNED"]
    assert service["environment"]["IMPASTO_TRAINER"] == "external"
    for each in (service, learner):
        assert f"learned:{folder}" in each["volumes"]
    assert learner["command"].split()[:2] == ["learn", folder]
    for image in DOCKERFILES.values():  # a new volume has the owner of the image's folder
        assert re.search(rf"install --directory --owner 10001 --group 10001 [^&]*{folder}\b", image)


def test_settings_of_the_images():
    given = dict(re.findall(rf"({PREFIX}\w+)=(\S+)", DOCKERFILES["service"]))
    accepted(given)
    assert given["IMPASTO_HOST"] == "0.0.0.0"
    assert given["IMPASTO_PORT"] == "8000"
    assert f"EXPOSE {given['IMPASTO_PORT']}" in DOCKERFILES["service"]
    assert set(re.findall(rf"\b({PREFIX}\w+)=", DOCKERFILES["trainer"])) <= OF_THE_TRAINER


def test_manifests_without_keys_allow_anonymous_requests_explicitly():
    """A public address without keys is refused at start; compose and the manifests decide it in so many words."""
    for name in ("service", "replica"):
        assert default(COMPOSE["services"][name]["environment"]["IMPASTO_ALLOW_ANONYMOUS"]) == "true"
    assert f"{PREFIX}ALLOW_ANONYMOUS" not in re.sub(r"^#.*$", "", DOCKERFILES["service"], flags=re.MULTILINE)
    for name, folder in variants().items():
        for config in settings_maps(manifests(folder)):
            keyed = "IMPASTO_KEYS_FILE" in config["data"]
            assert keyed is ("keys" in name.split("+") or name == "overlays/example")
            assert config["data"]["IMPASTO_ALLOW_ANONYMOUS"] == ("false" if keyed else "true")


def test_the_secret_of_keys_is_where_the_setting_says_and_not_for_others(tmp_path):
    found = manifests(with_component(tmp_path, "keys"))
    [config], [deployment] = settings_maps(found), of_kind(found, "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    [volume] = [volume for volume in pod["volumes"] if volume["name"] == "keys"]
    [mount] = [mount for mount in pod["containers"][0]["volumeMounts"] if mount["name"] == "keys"]
    assert config["data"]["IMPASTO_KEYS_FILE"] == f"{mount['mountPath']}/keys.toml"
    assert volume["secret"]["defaultMode"] & 0o007 == 0


def services(found):
    """The Deployments that answer requests: not the trainer, which has no port."""
    return [each for each in of_kind(found, "Deployment") if each["metadata"]["name"] != "impasto-trainer"]


def test_one_port_everywhere():
    port = int(re.search(r"EXPOSE (\d+)", DOCKERFILES["service"])[1])
    for folder in variants().values():
        found = manifests(folder)
        for config in settings_maps(found):
            assert int(config["data"]["IMPASTO_PORT"]) == port
        for deployment in services(found):
            [container] = deployment["spec"]["template"]["spec"]["containers"]
            assert [each["containerPort"] for each in container["ports"]] == [port]
    scraped = yaml.safe_load((ROOT / "docker/prometheus/prometheus.yml").read_text())["scrape_configs"][0]
    assert scraped["dns_sd_configs"] == [{"names": ["service"], "type": "A", "port": port, "refresh_interval": "5s"}]
    assert COMPOSE["services"]["service"]["ports"][0].endswith(f":{port}")


def test_every_path_is_served():
    asked = {(path, "GET") for path in re.findall(r'"(/\w+)"', (ROOT / "docker/healthcheck.py").read_text())}
    for folder in variants().values():
        found = manifests(folder)
        for _, template in pod_templates(found):
            for container in containers(template):
                probes = [container[key] for key in container if key.endswith("Probe")]
                asked |= {(probe["httpGet"]["path"], "GET") for probe in probes if "httpGet" in probe}
        for monitor in of_kind(found, "ServiceMonitor"):
            asked |= {(endpoint["path"], "GET") for endpoint in monitor["spec"]["endpoints"]}
    assert ("/readyz", "GET") in asked
    assert asked <= ROUTES


def seconds(text: str) -> int:
    return int(re.fullmatch(r"(\d+)s", text)[1])


def test_grace_is_longer_than_the_drain():
    for folder in variants().values():
        found = manifests(folder)
        configs = {config["metadata"]["name"]: config for config in settings_maps(found)}
        for deployment in services(found):
            [source] = deployment["spec"]["template"]["spec"]["containers"][0]["envFrom"]
            config = configs[source["configMapRef"]["name"]]
            pod = deployment["spec"]["template"]["spec"]
            before = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
            drain = int(config["data"]["IMPASTO_DRAIN_SECONDS"])
            assert pod["terminationGracePeriodSeconds"] >= before + drain + 5
    for name in ("service", "replica"):
        service = COMPOSE["services"][name]
        drain = int(default(service["environment"]["IMPASTO_DRAIN_SECONDS"]))
        assert seconds(default(service["stop_grace_period"])) >= drain + 5


def test_one_user_everywhere():
    users = {user for text in DOCKERFILES.values() for user in re.findall(r"^USER (\S+)", text, re.MULTILINE)}
    assert users - {"0:0"} == {"10001:10001"}
    for text in DOCKERFILES.values():
        assert re.findall(r"^USER (\S+)", text, re.MULTILINE)[-1] == "10001:10001"
    for folder in variants().values():
        for owner, template in pod_templates(manifests(folder)):
            context = template["spec"]["securityContext"]
            assert (context["runAsUser"], context["runAsGroup"], context["fsGroup"]) == (10001, 10001, 10001), owner


@pytest.mark.parametrize("component", ["gateway", "ingress"])
def test_the_examples_let_a_largest_body_through(component):
    """The READMEs' limits of bodies, wherever a controller has one, are the service's own."""
    text = (ROOT / "k8s/components" / component / "README.md").read_text()
    sizes = re.findall(r"(?:max-body-size|maxSize|proxy-body-size): \"?(\d+)m", text)
    assert sizes
    assert {int(size) * 2**20 for size in sizes} == {Settings.model_fields["max_body_bytes"].default}


def trainings() -> list[tuple[list[str], int]]:
    """(arguments, processes) of every training in k8s/training."""
    [single] = of_kind(manifests(ROOT / "k8s/training/job"), "Job")
    [several] = of_kind(manifests(ROOT / "k8s/training/nodes"), "Job")
    [train] = of_kind(manifests(ROOT / "k8s/training/trainjob"), "TrainJob")
    nodes = several["spec"]["template"]["spec"]["containers"][0]
    assert several["spec"]["completions"] == several["spec"]["parallelism"]
    assert f"--nnodes={several['spec']['completions']}" in nodes["args"]
    return [
        (single["spec"]["template"]["spec"]["initContainers"][0]["args"], 1),
        (nodes["args"], several["spec"]["completions"]),
        (train["spec"]["trainer"]["args"], train["spec"]["trainer"]["numNodes"]),
    ]


def test_the_trainings_recipes_exist_and_can_be_shared():
    for arguments, processes in trainings():
        task = "style" if "style" in arguments else "upscale"
        path = ROOT / arguments[arguments.index(task) + 1]
        recipe = read_recipe(path, StyleRecipe if task == "style" else UpscaleRecipe)
        assert recipe.data.batch % processes == 0
        assert processes == 1 or task == "upscale" or recipe.network.norm != "batch"


def test_a_rendezvous_has_the_names_that_the_job_makes():
    found = manifests(ROOT / "k8s/training/nodes")
    [job], [service] = of_kind(found, "Job"), of_kind(found, "Service")
    arguments = job["spec"]["template"]["spec"]["containers"][0]["args"]
    name, subdomain = job["metadata"]["name"], job["spec"]["template"]["spec"]["subdomain"]
    assert f"--master-addr={name}-0.{subdomain}" in arguments
    assert f"--master-port={service['spec']['ports'][0]['port']}" in arguments
    assert service["metadata"]["name"] == subdomain
    assert service["spec"]["clusterIP"] == "None"


def test_images_have_one_name():
    built = {re.match(r"\$\{\w+:-([^}]+)\}", COMPOSE["services"][name]["image"])[1] for name in ("service", "trainer")}
    assert built == {"impasto-service", "impasto-trainer"}
    for folder in variants().values():
        for _, template in pod_templates(manifests(folder)):
            for container in containers(template):
                assert container["image"].split(":")[0].split("/")[-1] in built | {"impasto-bulk"}


def test_every_server_of_compose_is_hardened_and_limited():
    for name, service in COMPOSE["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert {"cpus", "memory", "pids"} <= set(service["deploy"]["resources"]["limits"]), name
        for port in service.get("ports", []):
            assert default(port).startswith("127.0.0.1:"), name  # an open port is the user's decision
        for other, how in service.get("depends_on", {}).items():
            assert other in COMPOSE["services"]
            assert how["condition"] in {"service_healthy", "service_completed_successfully"}
    volumes = {volume.split(":")[0] for s in COMPOSE["services"].values() for volume in s.get("volumes", [])}
    assert {name for name in volumes if re.fullmatch(r"\w+", name)} <= set(COMPOSE["volumes"])


def test_the_replicas_of_compose_share_a_redis_that_has_room_for_their_jobs():
    redis, replica = COMPOSE["services"]["redis"], COMPOSE["services"]["replica"]
    words = redis["command"].split()[1:]
    options = dict(zip(words[::2], words[1::2], strict=True))
    assert (options["--appendonly"], options["--maxmemory-policy"]) == ("yes", "noeviction")
    most = int(options["--maxmemory"].removesuffix("mb")) * 2**20
    assert 2 * int(replica["environment"]["IMPASTO_MAX_JOB_BYTES"]) <= most
    assert replica["environment"]["IMPASTO_JOB_STORE"] == "redis://redis:6379/0"
    assert COMPOSE["services"]["service"].get("environment", {}).get("IMPASTO_JOB_STORE") is None
    assert "service" in replica["networks"]["default"]["aliases"]  # what Prometheus scrapes


def test_files_that_compose_mounts_exist():
    for service in COMPOSE["services"].values():
        for volume in service.get("volumes", []):
            source = default(volume).split(":")[0]
            if source.startswith("."):
                assert (ROOT / source).exists()


def test_the_queue_that_scales_is_two_seconds_of_work():
    """docs/capacity.md: what waits for a replica may take about two seconds, at the rate that the text states."""
    text = (ROOT / "docs/capacity.md").read_text()
    rate = float(re.search(r"A replica paints ([\d.]+) megapixels/s", text)[1])
    threshold = 4_000_000
    assert math.isclose(threshold / (rate * 1e6), 2, rel_tol=0.25)


def test_the_dashboard_has_a_data_source_and_unique_panels():
    dashboard = json.loads(PROMQL["dashboard"].read_text())
    provisioned = yaml.safe_load((ROOT / "docker/grafana/provisioning/datasources/prometheus.yml").read_text())
    identity = provisioned["datasources"][0]["uid"]
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    assert {panel["datasource"]["uid"] for panel in panels} == {identity}
    assert all(target["expr"] for panel in panels for target in panel["targets"])
    providers = yaml.safe_load((ROOT / "docker/grafana/provisioning/dashboards/impasto.yml").read_text())
    assert Path(providers["providers"][0]["options"]["path"]) == Path("/etc/grafana/dashboards")
