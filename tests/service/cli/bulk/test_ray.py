"""`impasto bulk` on a Ray of its own, as a process: a killed worker loses nothing, and a second run does the rest."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from service.cli.bulk.manifest import FOLDER
from tests.conftest import encoded, picture
from tests.service.cli.conftest import environment

ROOT = Path(__file__).parents[4]
PYTHON = ROOT / ".venv-bulk/bin/python"
"""Ray and what .venv has: `make bulk-tools`."""

PROGRAM = "from service.cli.main import main; main()"
IMAGES = 60


@pytest.fixture(scope="module")
def python():
    """An interpreter with Ray."""
    for each in (sys.executable, str(PYTHON)):
        if Path(each).exists() and subprocess.run([each, "-c", "import ray"], check=False).returncode == 0:
            return each
    message = "Ray is not here: `make bulk-tools` installs it"
    return pytest.fail(message) if os.environ.get("IMPASTO_REQUIRE_TOOLS") else pytest.skip(message)


@pytest.fixture
def started(python, checkpoints, tmp_path):
    """Start it in `tmp_path`; it is ended with the test."""
    processes = []

    def start(*arguments):
        command = [python, "-c", PROGRAM, "bulk", *arguments]
        variables = environment(checkpoints, RAY_ADDRESS="local")
        del variables["OMP_NUM_THREADS"]
        with (tmp_path / "told").open("wb") as told:
            processes.append(
                subprocess.Popen(command, cwd=tmp_path, env=variables, stdout=subprocess.PIPE, stderr=told)
            )
        return processes[-1]

    yield start
    for each in processes:
        each.terminate()
        each.wait(60)


def workers(checkpoints):
    """The actors of this test: their environment has its checkpoints."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            title, variables = ((folder / name).read_bytes() for name in ("cmdline", "environ"))
        except OSError:  # it has ended
            continue
        if title.startswith(b"ray::MapWorker") and str(checkpoints).encode() in variables:
            found.append(int(folder.name))
    return found


def recorded(folder):
    """The outcomes in the manifest, by name."""
    lines = [line for part in (folder / FOLDER).iterdir() for line in part.read_text().splitlines()[1:]]
    records = [json.loads(line) for line in lines]
    assert max(Counter(record["name"] for record in records).values()) == 1
    return {record["name"]: record.get("code", "done") for record in records}


@pytest.mark.long
def test_a_killed_worker_loses_nothing_and_the_next_run_does_what_failed(started, checkpoints, client, tmp_path):
    source, out = tmp_path / "in", tmp_path / "out"
    (source / "deep").mkdir(parents=True)
    names = [f"deep/{index:02}.jpg" if index % 3 else f"{index:02}.png" for index in range(IMAGES)]
    for index, name in enumerate(names):
        kind = "jpeg" if index % 3 else "png"
        (source / name).write_bytes(encoded(picture(160, 240, seed=index), kind))
    whole = (source / "00.png").read_bytes()
    (source / "00.png").write_bytes(whole[:9000])
    command = ["in", "out", "--style", "mosaic", "--json"]

    run = started(*command, "--jobs", "1")
    until = time.monotonic() + 300
    while len(list(out.glob("*.png"))) < 2:
        assert run.poll() is None, (tmp_path / "told").read_text()
        assert time.monotonic() < until
        time.sleep(0.02)
    [worker] = workers(checkpoints)
    os.kill(worker, signal.SIGKILL)
    told = [json.loads(line) for line in run.communicate(timeout=300)[0].splitlines()]
    assert run.returncode == 1, (tmp_path / "told").read_text()
    assert f"{IMAGES - 1} done, 1 failed" in (tmp_path / "told").read_text()
    assert sorted(line["source"] for line in told) == sorted(names)
    assert Counter(recorded(out).values()) == {"done": IMAGES - 1, "broken_image": 1}
    for name in names[1:]:
        output = client.post("/stylize", params={"style": "mosaic"}, content=(source / name).read_bytes()).content
        assert (out / name).read_bytes() == output, name

    (source / "00.png").write_bytes(whole)
    again = started(*command)
    told = [json.loads(line) for line in again.communicate(timeout=300)[0].splitlines()]
    assert again.returncode == 0, (tmp_path / "told").read_text()
    assert [(line["source"], line["status"]) for line in told] == [("00.png", "done")]
    assert f"1 done, {IMAGES - 1} done already" in (tmp_path / "told").read_text()

    nothing = started(*command)
    assert nothing.communicate(timeout=300)[0] == b""
    assert (nothing.returncode, (tmp_path / "told").read_text()) == (0, f"0 done, {IMAGES} done already\n")
    other = started("in", "out", "--style", "starry_night")
    other.communicate(timeout=300)
    assert other.returncode == 2
    assert '--style was "mosaic", is now "starry_night"' in (tmp_path / "told").read_text()
