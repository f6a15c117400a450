"""`docker compose --profile learn up`: paintings become styles, past a killed trainer, a restart and a full disk.

Needs IMPASTO_VGG16. The tests build on each other's stack and run in order.
"""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.containers.engine import ROOT, Stack, docker, free_port, wait_until

PAINTING = (ROOT / "trainer/configs/engraving.png").read_bytes()
FILL = """
import pathlib, subprocess, sys, nets.spool as spool
queue = spool.Spool(pathlib.Path("/learned"))
painting = queue.submit(spool.StyleRequest("mine", "", 1, "", "", "", 0), open("/painting.png", "rb").read())
code = subprocess.run([sys.executable, "-m", "trainer", "learn", "/learned", "--idle", "0"]).returncode
print(code, painting.status.state, painting.status.reason)
"""


@pytest.fixture(scope="module")
def weights() -> Path:
    given = os.environ.get("IMPASTO_VGG16")
    if not given:
        pytest.skip("IMPASTO_VGG16 names no weights")
    return Path(given)


@pytest.fixture(scope="module")
def learning(service_image: str, trainer_image: str, weights: Path) -> Iterator[Stack]:
    """The service and its trainer."""
    variables = {
        "SERVICE_IMAGE": service_image,
        "TRAINER_IMAGE": trainer_image,
        "PORT": str(free_port()),
        "VGG16_FOLDER": str(weights.parent),
        "IMPASTO_VGG16": f"/vgg16/{weights.name}",
        "IMPASTO_LOADING": "lazy",
    }
    stack = Stack("impasto-learning-test", variables)
    stack.compose("--profile", "*", "down", "--volumes", check=False)
    try:
        stack.compose("--profile", "learn", "up", "--no-build", "--wait", "service", "learner")
        wait_until(lambda: stack.get("/limits").json()["learn_minutes"])  # the trainer has shown itself
        yield stack
    finally:
        stack.compose("--profile", "*", "down", "--volumes", check=False)


def style(stack: Stack) -> dict[str, Any]:
    return dict(stack.get("/styles/mine").json())


def test_a_painting_is_learned_in_its_own_container(learning):
    answer = learning.post("/styles?name=mine&minutes=1", PAINTING)
    assert answer.status_code == 202, answer.text
    wait_until(lambda: "preview" in style(learning))
    assert learning.get(style(learning)["preview"]).headers["content-type"] == "image/jpeg"


def test_a_killed_trainer_and_a_restarted_service_lose_nothing(learning):
    wait_until(lambda: style(learning)["progress"] > 0.3)
    learner = learning.container("learner")
    os.kill(learner["State"]["Pid"], signal.SIGKILL)
    wait_until(lambda: learning.container("learner")["RestartCount"] == learner["RestartCount"] + 1)
    wait_until(lambda: style(learning)["progress"] > 0.3)
    learning.compose("restart", "service")
    wait_until(lambda: learning.get("/readyz").status_code == 200)
    assert style(learning)["progress"] > 0.1


def test_the_style_is_served_without_a_restart(learning, photograph):
    service = learning.container("service")
    wait_until(lambda: style(learning)["state"] in {"ready", "failed"}, 240)
    assert style(learning)["state"] == "ready", style(learning)
    answer = learning.post("/stylize?style=mine", photograph)
    assert answer.status_code == 200
    assert answer.headers["impasto-model"].startswith("stylize/mine@")
    assert learning.container("service")["State"]["StartedAt"] == service["State"]["StartedAt"]


def test_a_trainer_that_is_stopped_gives_its_painting_back(learning):
    assert learning.post("/styles?name=other&minutes=20", PAINTING).status_code == 202
    wait_until(lambda: learning.get("/styles/other").json()["state"] == "learning")
    learning.compose("--profile", "learn", "stop", "learner")
    assert learning.container("learner")["State"]["ExitCode"] == 128 + signal.SIGTERM
    assert learning.get("/styles/other").json()["state"] == "queued"
    for name in ("other", "mine"):
        assert learning.delete(f"/styles/{name}").status_code == 204
        assert learning.get(f"/styles/{name}").status_code == 404


def test_a_full_volume_fails_a_painting_with_that_reason(trainer_image, weights, tmp_path):
    picture = tmp_path / "painting.png"
    picture.write_bytes(PAINTING)
    for path in (picture, tmp_path):
        path.chmod(0o755)
    size = len(PAINTING) // 1024 + 24  # for the painting and its status; not for a preview
    said = docker(
        *("run", "--rm", "--read-only", "--tmpfs", "/tmp"),
        *("--tmpfs", f"/learned:size={size}k,uid=10001,gid=10001"),
        *("--volume", f"{picture}:/painting.png:ro", "--volume", f"{weights.parent}:/vgg16:ro"),
        *("--env", f"IMPASTO_VGG16=/vgg16/{weights.name}", "--entrypoint", "python", trainer_image, "-c", FILL),
    ).stdout
    assert said.splitlines()[-1] == "0 failed No space left on device", said
