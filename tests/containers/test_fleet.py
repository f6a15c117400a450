"""The rehearsal of a fleet: two replicas, quotas in Redis, a canary, an update under load, a lost replica, an alert.

The tests build on each other and run in order. Needs podman, runc, catatonit, nginx, Redis and Prometheus.
"""

import os
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml

from tests.conftest import encoded, picture, save_net, tiny_style_net
from tests.containers.engine import wait_until
from tests.containers.fleet import Fleet, Replica
from tests.containers.pods import PROGRAMS, Manifest, Podman
from tests.deploy.faults import of_kind
from tests.deploy.tools import ROOT, manifests, run
from tests.keys import ALICE, BOB, bearer, write_keys

PICTURE = encoded(picture(120, 160), "jpeg")
OLD, NEW = (f"registry.example.com/impasto-checkpoints@sha256:{digits * 32}" for digits in ("cd", "ab"))
QUOTA = 6


@dataclass
class Rehearsal:
    """What the tests share. overlay: a copy of k8s/overlays/canary, with keys and redis in both releases."""

    fleet: Fleet
    overlay: Path
    volumes: dict[str, dict[str, Path]]
    steps: int = 0

    def rollout(self, *arguments: str) -> list[Manifest]:
        """A step of the rollout, and what the overlay then renders; the Gateway follows."""
        result = run(str(self.overlay / "rollout"), *arguments)
        assert result.returncode == 0, result.stderr
        self.steps += 1
        folder = self.overlay.parents[2] / f"step-{self.steps}"
        shutil.copytree(self.overlay.parents[1], folder / "k8s")
        found = manifests(folder / "k8s/overlays/canary")
        [self.fleet.route] = of_kind(found, "HTTPRoute")
        return found

    def stable(self) -> list[Replica]:
        return [each for each in self.fleet.replicas if each.track == "stable"]


def checkpoints(folder: Path, seed: int) -> Path:
    """A folder as docker/checkpoints.Dockerfile makes an image of: a network, and the list of digests."""
    save_net(folder, "mosaic", tiny_style_net(seed))
    listed = subprocess.run("sha256sum */*.safetensors > SHA256SUMS", shell=True, cwd=folder, check=True)
    assert listed.returncode == 0
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder


def overlay_with(folder: Path, *components: str) -> Path:
    """A copy of the canary's overlay, with further components in both releases."""
    shutil.copytree(ROOT / "k8s", folder / "k8s")
    overlay = folder / "k8s/overlays/canary"
    for release in ("stable", "canary"):
        path = overlay / release / "kustomization.yaml"
        kustomization = yaml.safe_load(path.read_text())
        # The NetworkPolicy belongs to the stable release; what redis changes there has no target in the canary.
        kustomization["components"] += [f"../../../components/{name}" for name in components]
        path.write_text(yaml.safe_dump(kustomization))
    return overlay


@pytest.fixture(scope="module")
def rehearsal(service_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    absent = [name for name in (*PROGRAMS, "nginx", "redis-server", "prometheus") if shutil.which(name) is None]
    if absent:
        pytest.skip(f"not installed: {', '.join(absent)}")
    folder = tmp_path_factory.mktemp("fleet")
    for each in (folder, *folder.parents):
        if each.stat().st_uid == os.getuid() and each != Path("/"):
            each.chmod(each.stat().st_mode | 0o055)
    (folder / "pods").mkdir()
    podman = Podman(folder / "pods")
    podman.load(service_image)
    keys = folder / "keys"
    keys.mkdir(mode=0o755)
    allowed = {
        "alice": {"key": ALICE, "scopes": ["transform"], "requests_per_minute": QUOTA},
        "bob": {"key": BOB, "scopes": ["transform"]},
    }
    given(write_keys(keys / "keys.toml", allowed))
    old, new = checkpoints(folder / "old", 1), checkpoints(folder / "new", 2)
    volumes = {name: {"checkpoints": each, "keys": keys} for name, each in (("old", old), ("new", new))}
    fleet = Fleet(podman, folder, service_image)
    rehearsed = Rehearsal(fleet, overlay_with(folder / "tree", "keys", "redis"), volumes)
    try:
        found = rehearsed.rollout("install", OLD)
        fleet.start_around()
        for _ in range(2):
            fleet.let_in(fleet.start(found, "impasto", "stable", volumes["old"]))
        yield rehearsed
    finally:
        fleet.close()


def given(path: Path) -> None:
    """To the pods' user, as the kubelet gives a Secret."""
    os.chown(path, 10001, 10001)


def test_two_replicas_answer_through_the_gateway(rehearsal):
    for _ in range(8):
        assert rehearsal.fleet.post(PICTURE, **bearer(BOB)).status_code == 200
    counts = []
    for replica in rehearsal.stable():
        text = httpx.get(f"{replica.address}/metrics", trust_env=False).text
        counts.append('impasto_http_requests_total{code="200",method="POST",route="/stylize"}' in text)
    assert counts == [True, True]
    for path in ("/metrics", "/readyz", "/models/reload"):
        assert httpx.get(rehearsal.fleet.address + path, trust_env=False).status_code == 404


def test_a_quota_holds_for_all_replicas_together(rehearsal):
    """In Redis: in the memory of each, twice as many would be let in.

    A store that does not answer within a second lets a request in. On a machine that is so slow, the test tries again.
    """
    fleet = rehearsal.fleet
    for _ in range(3):
        before = fleet.query("sum(impasto_quota_store_errors_total)")
        codes = Counter(fleet.post(PICTURE, **bearer(ALICE)).status_code for _ in range(2 * QUOTA))
        time.sleep(5)
        if fleet.query("sum(impasto_quota_store_errors_total)")[0]["value"][1] == before[0]["value"][1]:
            break
        time.sleep(120)
    assert codes == {200: QUOTA, 429: QUOTA}, fleet.logs()


def test_a_store_that_is_lost_lets_all_in_and_is_counted(rehearsal):
    redis = rehearsal.fleet.processes[0]
    redis.terminate()
    redis.wait(10)
    assert {rehearsal.fleet.post(PICTURE, **bearer(ALICE)).status_code for _ in range(3)} == {200}
    assert wait_until(lambda: rehearsal.fleet.query("sum(impasto_quota_store_errors_total) > 0"))
    rehearsal.fleet.start_redis()


def test_the_autoscalers_metric_is_there_by_pod(rehearsal):
    rules = yaml.safe_load((ROOT / "k8s/components/hpa/adapter-rules.yaml").read_text())["rules"]["custom"]
    query = rules[0]["metricsQuery"].replace("<<.Series>>", "impasto_queue_pixels").replace("<<.GroupBy>>", "pod")
    query = query.replace("<<.LabelMatchers>>", 'namespace="impasto",pod=~".+"')
    pods = {each.name for each in rehearsal.stable()}
    assert wait_until(lambda: {row["metric"]["pod"] for row in rehearsal.fleet.query(query)} >= pods)


def test_a_canary_answers_its_share_and_shows_who_answered(rehearsal):
    fleet = rehearsal.fleet
    found = rehearsal.rollout("start", NEW, "50")
    fleet.let_in(fleet.start(found, "impasto-canary", "canary", rehearsal.volumes["new"]))
    answers = [fleet.post(PICTURE, **bearer(BOB)) for _ in range(60)]
    assert {answer.status_code for answer in answers} == {200}
    versions = Counter(answer.headers["impasto-model"] for answer in answers)
    assert len(versions) == 2
    assert all(15 <= count <= 45 for count in versions.values()), versions
    by_track = wait_until(lambda: _two(fleet.query("track_model_version:impasto_pixels:rate5m > 0")), 60)
    assert {row["metric"]["track"] for row in by_track} == {"stable", "canary"}
    assert len({row["metric"]["version"] for row in by_track}) == 2


def _two(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    return rows if len(rows) == 2 else []


class Load:
    """Clients that press until they are told to stop: every answer's code, or what broke."""

    def __init__(self, fleet: Fleet, clients: int = 3) -> None:
        self.fleet, self.answers = fleet, Counter[int | str]()
        self._stop = threading.Event()
        self._clients = ThreadPoolExecutor(clients)
        for _ in range(clients):
            self._clients.submit(self._press)

    def _press(self) -> None:
        while not self._stop.is_set():
            try:
                self.answers[self.fleet.post(PICTURE, **bearer(BOB)).status_code] += 1
            except httpx.TransportError as error:
                self.answers[type(error).__name__] += 1

    def end(self) -> "Counter[int | str]":
        self._stop.set()
        self._clients.shutdown()
        return self.answers


def test_a_promotion_under_load_loses_no_request(rehearsal):
    """Each stable pod is replaced by one with the new checkpoints, one after the other, while clients press."""
    fleet = rehearsal.fleet
    found = rehearsal.rollout("promote")
    load = Load(fleet)
    codes = []
    for old in rehearsal.stable():
        fleet.let_in(fleet.start(found, "impasto", "stable", rehearsal.volumes["new"]))
        codes.append(fleet.stop(old))
    answers = load.end()
    assert codes == [0, 0]
    assert set(answers) == {200}, answers
    assert answers[200] > 20
    found = rehearsal.rollout("end")
    fleet.follow()
    [canary] = [each for each in fleet.replicas if each.track == "canary"]
    assert fleet.stop(canary) == 0
    assert {fleet.post(PICTURE, **bearer(BOB)).headers["impasto-model"] for _ in range(6)} == {
        httpx.get(f"{rehearsal.stable()[0].address}/models", trust_env=False).json()["models"][0]["model"]
        + "@"
        + httpx.get(f"{rehearsal.stable()[0].address}/models", trust_env=False).json()["models"][0]["version"]
    }


def test_a_lost_replica_costs_what_it_had_in_hand_and_no_more(rehearsal):
    fleet = rehearsal.fleet
    load = Load(fleet)
    time.sleep(2)
    lost = rehearsal.stable()[0]
    fleet.podman.run("podman", "kill", "--signal", "KILL", f"{lost.name}-service")
    time.sleep(1)
    fleet.replicas.remove(lost)  # its endpoint goes when the kubelet tells that the pod is not ready
    fleet.follow()
    time.sleep(2)
    answers = load.end()
    failed = sum(count for code, count in answers.items() if code != 200)
    assert answers[200] > 0
    assert failed <= 6, answers  # three clients: what was in hand, and what came before the endpoint was out
    assert fleet.post(PICTURE, **bearer(BOB)).status_code == 200
    found = rehearsal.rollout("status")
    fleet.let_in(fleet.start(found, "impasto", "stable", rehearsal.volumes["new"]))


def test_an_alert_fires_and_ends(rehearsal):
    """A key file that is broken: the old keys hold, and ImpastoKeysRefused tells."""
    fleet = rehearsal.fleet
    keys = rehearsal.volumes["new"]["keys"] / "keys.toml"
    whole = keys.read_bytes()
    keys.with_suffix(".new").write_text("not = [toml")
    given(keys.with_suffix(".new"))
    keys.with_suffix(".new").chmod(0o640)
    time.sleep(5)  # two scrapes before, so that an increase can be seen
    keys.with_suffix(".new").replace(keys)
    assert {fleet.post(PICTURE, **bearer(BOB)).status_code for _ in range(4)} == {200}
    assert wait_until(lambda: fleet.query('ALERTS{alertname="ImpastoKeysRefused",alertstate="firing"}'), 60)
    keys.with_suffix(".new").write_bytes(whole)
    given(keys.with_suffix(".new"))
    keys.with_suffix(".new").chmod(0o640)
    keys.with_suffix(".new").replace(keys)
    assert {fleet.post(PICTURE, **bearer(BOB)).status_code for _ in range(4)} == {200}
    assert wait_until(lambda: fleet.query('sum(impasto_key_reloads_total{outcome="taken"}) >= 1'))
