"""`docker compose up`: both endpoints, health, a kill, a stop under load, Prometheus, a style trained into it.

The tests build on each other's stack and run in order.
"""

import json
import os
import re
import signal
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import yaml

from tests.conftest import decoded, encoded, picture
from tests.containers.engine import ROOT, docker, wait_until

LARGE = encoded(picture(300, 400), "jpeg")


def test_both_endpoints_answer(stack, photograph):
    height, width, _ = decoded(photograph).shape
    for path, scale in (("/stylize?style=mosaic", 1), ("/upscale?factor=2", 2)):
        answer = stack.post(path, photograph)
        assert answer.status_code == 200, answer.text
        assert decoded(answer.content).shape == (scale * height, scale * width, 3)


def test_it_runs_as_hardened(stack):
    container = stack.container("service")
    assert container["Config"]["User"] == "10001:10001"
    assert container["HostConfig"]["ReadonlyRootfs"] is True
    assert container["HostConfig"]["CapDrop"] == ["ALL"]
    assert container["HostConfig"]["Memory"] == 4 * 2**30
    for path in ("/x", "/checkpoints/x"):
        denied = stack.compose("exec", "-T", "service", "python", "-c", f"open('{path}', 'w')", check=False)
        assert "Read-only file system" in denied.stdout


def test_the_health_check_is_green_and_asks_readyz(stack):
    health = stack.container("service")["State"]["Health"]
    assert health["Status"] == "healthy"
    assert health["Log"][-1]["Output"].startswith('200 {"status":"ready"}')
    assert "(healthy)" in stack.compose("ps", "service").stdout


def test_prometheus_scrapes_it_and_its_rules_load(stack):
    wait_until(lambda: stack.query('up{job="impasto",namespace="impasto"} == 1'))
    wait_until(lambda: stack.query("job:impasto_ready:sum == 1"))
    answer = httpx.get(f"{stack.prometheus}/api/v1/rules", timeout=10, trust_env=False).json()
    rules = [rule for group in answer["data"]["groups"] for rule in group["rules"]]
    assert len(rules) == 39
    assert {rule["health"] for rule in rules} <= {"ok", "unknown"}  # unknown: not evaluated yet
    assert not [rule for rule in rules if rule.get("lastError")]


def panels() -> list[tuple[str, str]]:
    dashboard = json.loads((ROOT / "docker/grafana/dashboards/impasto.json").read_text())
    return [(p["title"], t["expr"]) for p in dashboard["panels"] for t in p.get("targets", [])]


def test_every_panel_of_the_dashboard_has_an_answer(stack, photograph):
    """Every panel's query, as Grafana would send it; what only a GPU or an error fills may be empty."""
    may_be_empty = ("impasto_device_memory_bytes", "impasto_cancelled_total")
    for _ in range(3):
        assert stack.post("/stylize?style=mosaic", photograph).status_code == 200
        assert stack.post("/stylize?style=mosaic", b"no picture").status_code == 415
        time.sleep(6)  # two scrapes apart, so that a rate has something to see
    for title, panel in panels():
        expression = panel.replace("$__rate_interval", "1m")
        if any(name in expression for name in may_be_empty):
            stack.query(expression)
            continue
        wait_until(lambda expression=expression: stack.query(expression), 40), title


def test_the_autoscalers_queries_have_an_answer(stack):
    """The PromQL of KEDA's trigger, and of the adapter's rule with its template filled in as the adapter would."""
    [scaled] = yaml.safe_load_all((ROOT / "k8s/components/keda/scaledobject.yaml").read_text())
    [answer] = stack.query(scaled["spec"]["triggers"][0]["metadata"]["query"])
    assert float(answer["value"][1]) >= 0
    rules = yaml.safe_load((ROOT / "k8s/components/hpa/adapter-rules.yaml").read_text())["rules"]["custom"]
    query = rules[0]["metricsQuery"]
    for template, value in {
        "<<.Series>>": "impasto_queue_pixels",
        "<<.LabelMatchers>>": 'namespace="impasto",pod=~".+"',
        "<<.GroupBy>>": "pod",
    }.items():
        query = query.replace(template, value)
    assert "<<" not in query
    [answer] = stack.query(query)
    assert answer["metric"]["pod"]
    assert stack.query(rules[0]["seriesQuery"])


def test_a_killed_service_comes_back(stack, photograph):
    before = stack.container("service")
    os.kill(before["State"]["Pid"], signal.SIGKILL)
    wait_until(lambda: stack.container("service")["RestartCount"] == before["RestartCount"] + 1)
    wait_until(lambda: stack.get("/readyz").status_code == 200)
    assert stack.post("/stylize?style=mosaic", photograph).status_code == 200
    wait_until(lambda: stack.container("service")["State"]["Health"]["Status"] == "healthy")


def in_flight(stack) -> int:
    return int(float(re.search(r"^impasto_requests_in_flight (\S+)", stack.get("/metrics").text, re.MULTILINE)[1]))


def test_a_stop_under_load_loses_no_accepted_request(stack):
    """Clients press on; the service is stopped: what it had accepted is answered, and it ends by itself with 0."""
    answers: dict[str, int | str] = {}
    sent: list[str] = []
    stop = threading.Event()

    def client() -> None:
        while not stop.is_set():
            identity = uuid.uuid4().hex
            sent.append(identity)
            try:
                answers[identity] = stack.post("/upscale?factor=4", LARGE, X_Request_ID=identity).status_code
            except httpx.TransportError as error:  # nobody listens any more
                answers[identity] = type(error).__name__
                return

    since = str(int(time.time()))
    with ThreadPoolExecutor(6) as clients:
        for _ in range(6):
            clients.submit(client)
        wait_until(lambda: in_flight(stack) == 6)
        accepted = set(sent) - set(answers)
        stack.compose("stop", "service")
        stop.set()
    state = stack.container("service")["State"]
    assert (state["ExitCode"], state["OOMKilled"]) == (0, False)
    assert accepted
    assert {answers[identity] for identity in accepted} == {200}
    logged = {}
    for line in stack.compose("logs", "--no-log-prefix", "--since", since, "service").stdout.splitlines():
        entry = json.loads(line) if line.startswith("{") else {}
        if entry.get("message") == "request" and entry.get("route") == "/upscale":
            logged[entry["request_id"]] = entry["status"]
    assert accepted <= set(logged)
    assert {identity: answers[identity] for identity in logged} == logged  # what it answered has reached its client
    stack.compose("up", "--no-build", "--wait")


def recipes(tmp_path: Path, **changes: str) -> Path:
    """A folder for RECIPES: the engraving under another name, on small crops."""
    text = (ROOT / "trainer/configs/engraving.toml").read_text()
    text = text.replace('name = "engraving"', 'name = "proof"').replace("crop_px = 160", "crop_px = 64")
    (tmp_path / "proof.toml").write_text(text)
    (tmp_path / "engraving.png").write_bytes((ROOT / "trainer/configs/engraving.png").read_bytes())
    for path in (tmp_path, *tmp_path.iterdir()):
        path.chmod(0o755)
    return tmp_path


def train(stack, check=True, **variables):
    return stack.compose("--profile", "train", "up", "--no-build", "trainer", "publish", check=check, **variables)


def test_a_style_trained_beside_it_is_served_without_a_restart(stack, trainer_image, tmp_path, photograph):
    weights = os.environ.get("IMPASTO_VGG16")
    if not weights:
        pytest.skip("IMPASTO_VGG16 names no weights")
    assert "stylize/proof" not in stack.versions()
    started = stack.container("service")["State"]["StartedAt"]
    train(
        stack,
        RECIPES=str(recipes(tmp_path)),
        RECIPE="proof",
        ITERATIONS="3",
        VGG16_FOLDER=str(Path(weights).parent),
        IMPASTO_VGG16=f"/vgg16/{Path(weights).name}",
    )
    wait_until(lambda: "stylize/proof" in stack.versions())
    assert stack.post("/stylize?style=proof", photograph).status_code == 200
    assert stack.container("service")["State"]["StartedAt"] == started
    assert not stack.get("/models").json()["refused"]


def test_a_factor_trained_anew_takes_the_old_ones_place(stack, trainer_image, photograph):
    """Needs no VGG16."""
    before = stack.versions()["upscale/x2"]
    train(stack, check=False, TASK="upscale", RECIPE="x2", ITERATIONS="2")
    assert stack.container("publish")["State"]["ExitCode"] == 1
    assert "other photographs" in stack.compose("--profile", "train", "logs", "publish").stdout
    assert stack.versions()["upscale/x2"] == before
    train(stack, TASK="upscale", RECIPE="x2", ITERATIONS="2", PUBLISH_OPTIONS="--force")
    wait_until(lambda: stack.versions()["upscale/x2"] != before)
    answer = stack.post("/upscale?factor=2", photograph)
    assert answer.headers["impasto-model"] == f"upscale/x2@{stack.versions()['upscale/x2']}"


def test_a_training_that_fails_says_why_and_the_service_goes_on(stack, trainer_image):
    failed = train(stack, check=False, RECIPE="nothing")
    assert failed.returncode != 0
    assert "/recipes/nothing.toml" in stack.compose("logs", "trainer").stdout
    assert stack.get("/readyz").status_code == 200


def test_a_broken_checkpoint_is_refused_and_the_others_serve(stack, photograph):
    volume = f"{stack.project}_checkpoints:/checkpoints"
    write = "open('/checkpoints/stylize/broken.safetensors', 'w').write('nonsense')"
    docker("run", "--rm", "--volume", volume, "--entrypoint", "python", stack.variables["SERVICE_IMAGE"], "-c", write)
    wait_until(lambda: stack.get("/models").json()["refused"])
    assert stack.get("/models").json()["refused"][0]["file"] == "stylize/broken.safetensors"
    assert "impasto_models_refused 1.0" in stack.get("/metrics").text
    assert stack.post("/stylize?style=mosaic", photograph).status_code == 200
    assert stack.get("/readyz").status_code == 200


def test_a_bad_setting_shows_in_ps(stack):
    stack.compose("up", "--no-build", "-d", "service", check=False, IMPASTO_MAX_REQUESTS="many")
    wait_until(lambda: "Restarting (2)" in stack.compose("ps", "-a", "service").stdout)
    assert "impasto: IMPASTO_MAX_REQUESTS='many'" in stack.compose("logs", "service").stdout
    stack.compose("up", "--no-build", "--wait")


def test_a_gpu_that_is_not_there_is_refused_at_once(stack):
    override = ("-f", "docker-compose.yml", "-f", "docker-compose.gpu.yml")
    result = stack.compose(*override, "up", "--no-build", "-d", "service", check=False)
    if result.returncode == 0:
        pytest.skip("this engine has a GPU")
    assert re.search("could not select device driver|nvidia", result.stdout)
    stack.compose("up", "--no-build", "--wait")
