"""Latency of /stylize while a style is learned: by the service's own trainer, and by one with its own CPUs.

    IMPASTO_VGG16=FILE python benchmarks/learning.py [--seconds 20] [--results docs/results.md]

Photographs arrive at random times, at the same times with and without a training. A trainer with its own CPUs is a
second process on another core, as `cpuset` gives it to a container. Needs two cores and about four minutes of an
otherwise idle machine.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from engine import Row, machine, table
from load import Request, Sample, opened, quantile, statuses
from pictures import jpeg, photograph
from server import Service, running

from trainer.evaluation.sections import write_section

ROOT = Path(__file__).resolve().parent.parent
PAINTING = ROOT / "trainer" / "configs" / "engraving.png"
ROUNDS, PER_SECOND, WIDTH, HEIGHT = 2, 2.0, 640, 480
_MINUTES = 60.0
_SETTLE_SECONDS = 3.0


@contextmanager
def embedded(learned: Path) -> Iterator[Service]:
    """Run a service that starts its own trainer."""
    with running(learned=learned, cache_bytes=0, trainer_options=f"--vgg16 {os.environ['IMPASTO_VGG16']}") as service:
        yield service


@contextmanager
def separate(learned: Path) -> Iterator[Service]:
    """Run a service, and this process, on the first core, and a trainer on the second."""
    first, second, *_ = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {first})
    command = [sys.executable, "-m", "trainer", "learn", str(learned), "--checkpoints", str(ROOT / "checkpoints")]
    trainer = subprocess.Popen(["taskset", "--cpu-list", str(second), *command], cwd=ROOT)
    try:
        with running(learned=learned, cache_bytes=0, trainer="external") as service:
            yield service
    finally:
        trainer.terminate()
        trainer.wait()
        os.sched_setaffinity(0, {first, second})


def measure(service: Service, seconds: float) -> Row:
    """Alternate between loads with and without a training."""
    alone: list[Sample] = []
    learning: list[Sample] = []
    trained = 0.0
    with httpx.Client(base_url=service.address, trust_env=False, timeout=60) as client:
        press(service, 5.0, 0)
        for seed in range(ROUNDS):
            alone += press(service, seconds, seed)
            begin_training(client)
            before, begun = _training_seconds(client), time.monotonic()
            learning += press(service, seconds, seed)
            trained += (_training_seconds(client) - before) / (time.monotonic() - begun) / ROUNDS
            client.delete("/styles/mine")
            time.sleep(_SETTLE_SECONDS)
    assert set(statuses(alone + learning)) == {200}, statuses(alone + learning)
    return {
        "p50 alone, s": quantile(alone, 0.5),
        "p50 while learning, s": quantile(learning, 0.5),
        "p95 alone, s": quantile(alone, 0.95),
        "p95 while learning, s": quantile(learning, 0.95),
        "ratio of p95": quantile(learning, 0.95) / quantile(alone, 0.95),
        "training, s/s": trained,
    }


def press(service: Service, seconds: float, seed: int) -> list[Sample]:
    """Send photographs at random times."""
    images = [jpeg(photograph(WIDTH, HEIGHT, which)) for which in range(4)]
    requests = [Request("/stylize?style=mosaic", image, WIDTH * HEIGHT / 1e6) for image in images]
    return opened(service.address, requests, PER_SECOND, seconds, seed)


def begin_training(client: httpx.Client) -> None:
    """Send a painting and wait until its training has begun."""
    _wait_until(lambda: client.get("/limits").json()["learn_minutes"])
    answer = client.post("/styles", params={"name": "mine", "minutes": _MINUTES}, content=PAINTING.read_bytes())
    answer.raise_for_status()
    _wait_until(lambda: _training_seconds(client) > 0)


def _training_seconds(client: httpx.Client) -> float:
    return 60 * _MINUTES - float(client.get("/styles/mine").json()["seconds_left"])


def _wait_until(condition: Callable[[], object], seconds: float = 120.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "the trainer does not work"
        time.sleep(0.2)


def document(rows: list[Row]) -> str:
    """Return the section of docs/results.md."""
    return "\n".join(
        [
            "## Requests while a style is learned",
            "",
            f"`python benchmarks/learning.py --results docs/results.md`, {machine()}.",
            (
                f"Photographs of {WIDTH} x {HEIGHT} arrive at random times, {PER_SECOND:g} per second. "
                "With its own CPUs, the trainer has one core, and the"
            ),
            "service and the client share the other. The last column is the training time that passed in a second.",
            "",
            table(rows),
        ]
    )


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--results", type=Path)
    options = parser.parse_args()
    rows = []
    for name, mode in (("the service's own trainer", embedded), ("a trainer with its own CPUs", separate)):
        with tempfile.TemporaryDirectory() as folder, mode(Path(folder)) as service:
            rows.append({"": name, **measure(service, options.seconds)})
        print(rows[-1], flush=True)
    text = document(rows)
    print(text)
    if options.results:
        write_section(options.results, "benchmarks/learning.py", text)


if __name__ == "__main__":
    main()
