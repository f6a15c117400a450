"""A worker learns the paintings in a queue: for their owners in turn, across deaths, with a reason for a failure."""

import hashlib
import io
import resource
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from nets.spool import Spool, StyleRequest
from service.models.registry import load_registry
from tests.conftest import picture
from tests.nets.test_trunk import save_family
from tests.trainer.test_fit import LOSS
from trainer.commands.main import app


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path / "learned")


@pytest.fixture
def command(tmp_path, vgg16_file):
    save_family(tmp_path / "repository")
    (tmp_path / "tiny.toml").write_text(LOSS)
    options = {"--checkpoints": tmp_path / "repository", "--trunk": "tiny", "--config": tmp_path / "tiny.toml"}
    pairs = [str(part) for pair in {**options, "--vgg16": vgg16_file}.items() for part in pair]
    return ["learn", str(tmp_path / "learned"), *pairs, "--no-check"]


def submit(spool, name, owner="", minutes=0.01, pixels=None, submitted=0.0, private=False):
    file = io.BytesIO()
    Image.fromarray(picture(80, 90) if pixels is None else pixels).save(file, "PNG")
    data = file.getvalue()
    digest = hashlib.sha256(data).hexdigest()
    return spool.submit(StyleRequest(name, owner, minutes, "CC0-1.0", "a test", digest, submitted, private), data)


def run(command):
    result = CliRunner().invoke(app, [*command, "--idle", "0"])
    assert result.exit_code == 0, result.output
    return result


@contextmanager
def worker(command, **options):
    process = subprocess.Popen([sys.executable, "-m", "trainer", *command], **options)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_until(condition, seconds=120):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_the_paintings_of_a_queue_become_styles_beside_their_trunk(spool, command):
    submit(spool, "mine", "alice", private=True)
    flat = submit(spool, "flat", pixels=np.full((80, 80, 3), 50, np.uint8), submitted=1.0)
    assert not spool.has_trainer()
    run(command)
    assert spool.has_trainer()
    registry = load_registry(spool.folder)
    assert registry.names("stylize") == ["mine"]
    card = registry.entries["stylize/mine"].card
    assert (card.license, card.source) == ("CC0-1.0", "a test")
    assert (card.training["owner"], card.training["private"]) == ("alice", True)
    assert [painting.request.name for painting in spool] == ["flat"]
    assert flat.status.state == "failed"
    assert flat.status.reason == "the painting is nearly one colour: there is no style to learn from it"


def test_owners_take_turns_and_a_failed_painting_is_not_tried_again(spool):
    for number, (name, owner) in enumerate([("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b"), ("c1", "c")]):
        submit(spool, name, owner, submitted=float(number))
    spool.find("a1").note(state="failed", reason="too dark")
    assert [painting.request.name for painting in spool.waiting()] == ["a2", "b1", "c1", "a3"]
    with pytest.raises(FileExistsError):
        submit(spool, "b1")
    spool.remove(spool.find("b1"))
    assert spool.find("b1") is None


def test_a_painting_whose_worker_is_killed_is_taken_over_and_given_up_in_the_end(spool, command):
    painting = submit(spool, "mine", minutes=30)
    for attempt in (1, 2):
        with worker(command) as process:
            wait_until(lambda attempt=attempt: painting.status.attempts == attempt and painting.status.share > 0)
            process.send_signal(signal.SIGKILL)
    painting.note(attempts=3)
    run(command)
    assert painting.status.state == "failed"
    assert painting.status.reason == "the trainer ended 3 times while it learned this painting"


def test_a_worker_that_is_terminated_gives_its_painting_back_and_one_that_is_cancelled_drops_it(spool, command):
    painting = submit(spool, "mine", minutes=30)
    with worker(command) as process:
        wait_until(lambda: painting.preview.exists() and painting.status.previews)
        with Image.open(painting.preview) as preview:
            assert max(preview.size) == 384
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 128 + signal.SIGTERM
    assert (painting.status.state, painting.status.attempts) == ("queued", 0)
    with worker(command):
        wait_until(lambda: painting.status.state == "learning")
        spool.remove(painting)
        assert painting.cancelled
        wait_until(lambda: not painting.folder.exists())
    assert load_names(spool) == []


def limit_files(process, size):
    """Let a process write no file with more bytes, as if the disk were full."""
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def test_a_disk_that_becomes_full_fails_a_painting_with_that_reason(spool, command):
    painting = submit(spool, "mine", minutes=30)
    with worker(command) as process:
        wait_until(lambda: painting.status.previews)
        limit_files(process, 2_000)  # a preview has more, a status has less
        wait_until(lambda: painting.status.state == "failed")
        assert painting.status.reason == "File too large"
        limit_files(process, resource.RLIM_INFINITY)
        submit(spool, "next")
        wait_until(lambda: load_names(spool) == ["next"])


def test_a_painting_waits_on_a_disk_without_room_for_its_status(spool, command):
    painting = submit(spool, "mine", minutes=30)
    with worker(command, stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: painting.status.share > 0)
        limit_files(process, 20)
        assert any("mine: [Errno 27] File too large" in line for line in process.stderr)
        before = painting.status
        assert before.state == "learning"
        limit_files(process, resource.RLIM_INFINITY)
        wait_until(lambda: painting.status.attempts == before.attempts + 1)


def load_names(spool):
    return sorted(path.stem for path in (spool.folder / "stylize").glob("*.safetensors"))
