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

pytestmark = pytest.mark.soak

ROOT = Path(__file__).parent.parent.parent
QUIET = encoded(picture(600, 800), "jpeg")
FLOODS = {"thumbnails": encoded(picture(128, 128), "jpeg"), "the same size": QUIET}
ASKED = 40


def quiet_seconds(address, count=ASKED):
    """How long each of some requests took, one after the other."""
    spent = []
    with httpx.Client(base_url=address, timeout=120, trust_env=False, headers=bearer(ALICE)) as client:
        for _ in range(count):
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
        quiet_seconds(address, 5)  # warm
        alone = p95(quiet_seconds(address))
        command = [sys.executable, "-m", "tests.soak.flooding", address, str(body)]
        with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as flood:
            time.sleep(3)  # until it is one
            beside = p95(quiet_seconds(address))
            heard = {int(status): count for status, count in json.loads(flood.communicate()[0]).items()}
    print(f"p95 alone {alone:.3f} s, beside a flood of {size} {beside:.3f} s; the flood heard {heard}")
    assert {200, 429} <= set(heard) <= {200, 429, 503}
    assert beside < 2 * alone
