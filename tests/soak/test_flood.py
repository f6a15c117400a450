"""A flood of one key beside a quiet one. `make soak`."""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.conftest import encoded, picture
from tests.end_to_end.test_serve import address_in, service
from tests.keys import ALICE, bearer, write_keys
from tests.soak.book import record

pytestmark = pytest.mark.soak

ROOT = Path(__file__).parent.parent.parent
QUIET = encoded(picture(600, 800), "jpeg")
FLOODS = {"thumbnails": encoded(picture(128, 128), "jpeg"), "the same size": QUIET}
ASKED = 40
REST_SECONDS = 0.7
"""The pause of the quiet client between two images, each of which takes 0.3 s of the device. A client without pauses
gets half of the device, so that its requests take twice as long. That case is measured and not asserted."""


def quiet_seconds(address, rest=REST_SECONDS, count=ASKED):
    """How long each of some requests took, one after the other."""
    spent = []
    with httpx.Client(base_url=address, timeout=120, trust_env=False, headers=bearer(ALICE)) as client:
        for _ in range(count):
            time.sleep(rest)
            start = time.perf_counter()
            response = client.post("/stylize?style=mosaic&stroke=off", content=QUIET)
            spent.append(time.perf_counter() - start)
            assert response.status_code == 200, response.text
    return spent


def p95(seconds):
    return statistics.quantiles(seconds, n=20)[-1]


@pytest.mark.parametrize("size", FLOODS)
def test_the_quiet_ones_p95_stays_under_twice_its_own_alone(tmp_path, size):
    body = tmp_path / "picture.jpg"
    body.write_bytes(FLOODS[size])
    settings = {"checkpoints": ROOT / "checkpoints", "keys_file": write_keys(tmp_path / "keys")}
    with service(**settings) as (_, lines):
        address = address_in(lines[0])
        quiet_seconds(address, 0, 5)  # warm
        alone = p95(quiet_seconds(address))
        restless_alone = p95(quiet_seconds(address, 0))
        command = [sys.executable, "-m", "tests.soak.flooding", address, str(body)]
        with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as flood:
            time.sleep(3)  # until it is one
            beside = p95(quiet_seconds(address))
            restless_beside = p95(quiet_seconds(address, 0))
            heard = json.loads(flood.communicate()[0])
    figures = {"rest_seconds": REST_SECONDS, "p95_alone": alone, "p95_beside": beside, "heard": heard}
    restless = {"p95_restless_alone": restless_alone, "p95_restless_beside": restless_beside}
    record(f"flood of {size}", figures | restless)
    assert {"200", "429"} <= set(heard) <= {"200", "429", "503"}
    assert beside < 2 * alone
