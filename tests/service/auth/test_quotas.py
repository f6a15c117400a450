"""What a caller may use of a minute, counted in memory and in a real Redis."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager

import pytest

from service.auth.quotas import Standing, _standing
from service.errors import StartupError
from service.settings import Settings
from tests.conftest import encoded, picture
from tests.keys import ALICE, BOB, bearer, write_keys
from tests.service.auth.test_keys import service
from tests.service.http.test_operations import counted

_GUARD_SECONDS = 3


@pytest.fixture(autouse=True)
def away_from_the_minutes_end():
    """In memory a window begins with the minute; what is used before and after one is counted in two."""
    while time.time() % 60 > 60 - _GUARD_SECONDS:
        time.sleep(0.1)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """A store that is away is asked again sooner than in earnest."""
    monkeypatch.setattr("service.auth.quotas._PAUSE_SECONDS", 0.2)
    monkeypatch.setattr("service.auth.quotas._ANSWER_SECONDS", 0.2)


SMALL, LARGE = encoded(picture(10, 10)), encoded(picture(20, 20))  # 400 and 1600 pixels when enlarged twice


def upscale(client, key=None, data=SMALL, **headers):
    return client.post("/upscale?factor=2", content=data, headers={**(bearer(key) if key else {}), **headers})


def keys_with(path, **quotas):
    fields = {"scopes": ["transform"], **quotas}
    return write_keys(path, {"alice": {"key": ALICE, **fields}, "bob": {"key": BOB, **fields}})


def refused(response, unit, limit):
    problem = response.json()
    assert (response.status_code, problem["code"]) == (429, "quota_exceeded")
    assert (problem["quota"], problem["limit"], problem["violated-policies"]) == (unit, limit, [unit])
    assert 1 <= int(response.headers["retry-after"]) <= 120
    assert problem["retry_after_seconds"] == int(response.headers["retry-after"])
    assert f"{limit} {unit} a minute" in problem["detail"]


def test_requests_of_a_minute(checkpoints, tmp_path):
    with service(checkpoints, keys_file=keys_with(tmp_path / "keys", requests_per_minute=3)) as client:
        answers = [upscale(client, ALICE) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        refused(answers[-1], "requests", 3)
        assert [answer.headers["ratelimit-policy"] for answer in answers] == ['"requests";q=3;w=60'] * 4
        left = [re.fullmatch(r'"requests";r=(\d);t=(\d+)', answer.headers["ratelimit"]) for answer in answers[:3]]
        assert [each[1] for each in left] == ["2", "1", "0"]
        assert all(1 <= int(each[2]) <= 120 for each in left)
        assert upscale(client, BOB).status_code == 200, "another key has its own"
        assert client.get("/models", headers=bearer(ALICE)).status_code == 200, "and what computes nothing is free"
        assert counted(client, "impasto_rejected_total", reason="quota_exceeded") == 1


def test_pixels_of_a_minute_are_those_that_are_computed(checkpoints, tmp_path):
    file = keys_with(tmp_path / "keys", pixels_per_minute=2100)
    with service(checkpoints, keys_file=file, cache_bytes=10**6) as client:
        first = upscale(client, ALICE, LARGE)
        assert first.status_code == 200
        assert first.headers["ratelimit-policy"] == '"pixels";q=2100;w=60'
        assert first.headers["ratelimit"].startswith('"pixels";r=500;')
        assert upscale(client, ALICE, LARGE).status_code == 200, "kept from before: nothing is computed"
        known = upscale(client, ALICE, LARGE, **{"If-None-Match": first.headers["etag"]})
        assert known.status_code == 304
        assert client.post("/upscale?factor=2", content=b"no picture", headers=bearer(ALICE)).status_code == 415
        other = encoded(picture(20, 20, seed=1))
        refused(upscale(client, ALICE, other), "pixels", 2100)
        assert upscale(client, ALICE, SMALL).status_code == 200, "what fits is still let in"


def test_an_output_larger_than_the_quota_of_a_minute_is_refused_at_once(checkpoints, tmp_path):
    with service(checkpoints, keys_file=keys_with(tmp_path / "keys", pixels_per_minute=1000)) as client:
        response = upscale(client, ALICE, LARGE)
        assert (response.status_code, response.json()["code"]) == (413, "too_many_pixels")
        assert "this key's quota of a minute" in response.json()["detail"]


def test_jobs_and_tensors_are_paid_for_too(checkpoints, tmp_path):
    with service(checkpoints, keys_file=keys_with(tmp_path / "keys", pixels_per_minute=2100)) as client:
        job = upscale(client, ALICE, LARGE, Prefer="respond-async")
        assert job.status_code == 202
        refused(upscale(client, ALICE, LARGE, Prefer="respond-async"), "pixels", 2100)
        pixels = {"name": "pixels", "shape": [20, 20, 3], "datatype": "UINT8", "data": [0] * 1200}
        infer = [
            client.post("/v2/models/upscale.x2/infer", json={"inputs": [pixels]}, headers=bearer(BOB)) for _ in range(2)
        ]
        assert [answer.status_code for answer in infer] == [200, 429]
        assert "pixels a minute" in infer[1].json()["error"]
        assert "event: done" in client.get(f"{job.headers['location']}/events", headers=bearer(ALICE)).text


def test_clients_without_a_key_share_one_quota(checkpoints):
    with service(checkpoints, anonymous_requests_per_minute=2) as client:
        assert [upscale(client).status_code for _ in range(3)] == [200, 200, 429]


def test_without_quotas_there_are_no_such_headers(client):
    assert not [name for name in upscale(client).headers if name.startswith("ratelimit")]


@pytest.mark.parametrize(
    ("wanted", "before", "before_left", "now", "expected"),
    [
        (1, 10, 30.0, 5, Standing(0, 6)),  # the ten of the last window still count half, and one less every 6 s
        (3, 10, 30.0, 5, Standing(0, 18)),
        (10, 10, 30.0, 5, Standing(0, 90)),  # all of it: this window's five must fade, too
        (1, 0, 0.0, 10, Standing(0, 36)),  # the window moves on in 30 s, and then gives one of its ten every 6 s
        (1, 0, 0.0, 4, Standing(6, 30)),
    ],
)
def test_when_there_is_more(wanted, before, before_left, now, expected):
    assert _standing(10, wanted, before, before_left, now, 90.0) == expected


@pytest.fixture(scope="module")
def redis_server():
    path = shutil.which("redis-server")
    if path is None:
        message = "no redis-server on this machine (Debian: apt-get install redis-server)"
        if os.environ.get("IMPASTO_REQUIRE_TOOLS"):
            pytest.fail(message)
        pytest.skip(message)
    return path


def free_port():
    """A port of loopback that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def redis(program, folder, port=None, options=()):
    """(port, process) of a Redis that keeps nothing, unless options say so."""
    port = port or free_port()
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder), *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        while True:
            assert process.poll() is None
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.01)
        yield port, process
    finally:
        process.kill()
        process.wait()


def test_several_replicas_count_together_in_redis(checkpoints, tmp_path, redis_server):
    file = keys_with(tmp_path / "keys", requests_per_minute=3, pixels_per_minute=10_000)
    with redis(redis_server, tmp_path) as (port, _), ExitStack() as replicas:
        store = f"redis://127.0.0.1:{port}/1"
        clients = [replicas.enter_context(service(checkpoints, keys_file=file, quota_store=store)) for _ in range(2)]
        statuses = [upscale(clients[i % 2], ALICE).status_code for i in range(4)]
        assert statuses == [200, 200, 200, 429]
        answer = upscale(clients[1], BOB)
        assert answer.headers["ratelimit"].startswith('"requests";r=2;')
        assert '"pixels";r=9600;' in answer.headers["ratelimit"]


@pytest.mark.parametrize("fail", ["open", "closed"])
def test_a_redis_that_goes_away_and_comes_back(checkpoints, tmp_path, redis_server, caplog, fail):
    file = keys_with(tmp_path / "keys", requests_per_minute=2)
    with ExitStack() as stack:
        port, process = stack.enter_context(redis(redis_server, tmp_path))
        settings = {"keys_file": file, "quota_store": f"redis://127.0.0.1:{port}", "quota_fail": fail}
        client = stack.enter_context(service(checkpoints, **settings))
        assert upscale(client, ALICE).status_code == 200
        process.kill()
        process.wait()
        away = [upscale(client, ALICE) for _ in range(4)]
        assert [answer.status_code for answer in away] == [200 if fail == "open" else 503] * 4
        if fail == "closed":
            assert away[0].json()["code"] == "unavailable"
            assert away[0].headers["retry-after"] == "1"
        assert counted(client, "impasto_quota_store_errors_total") == 4
        said = [record for record in caplog.records if "does not respond" in record.getMessage()]
        assert len(said) == 1
        assert str(port) not in str(said[0].__dict__)
        with redis(redis_server, tmp_path, port):
            statuses = []
            while 429 not in statuses:  # it is asked again after a second
                statuses.append(upscale(client, ALICE).status_code)
                time.sleep(0.05)
        assert any("responds again" in record.getMessage() for record in caplog.records)


def test_an_unresponsive_redis_costs_each_request_little(checkpoints, tmp_path):
    """Something listens there and says nothing: the store is given up for a second, not waited for each time."""
    file = keys_with(tmp_path / "keys", requests_per_minute=2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = f"redis://127.0.0.1:{silent.getsockname()[1]}"
        with service(checkpoints, keys_file=file, quota_store=store) as client:
            assert [upscale(client, ALICE).status_code for _ in range(3)] == [200] * 3
            assert counted(client, "impasto_quota_store_errors_total") == 3


@pytest.mark.parametrize("store", ["memcached://x", "redis", "http://secret@x", "redis://:secret@[x"])
def test_an_invalid_quota_store_stops_the_start_and_its_password_is_not_shown(checkpoints, store):
    with pytest.raises(StartupError, match="IMPASTO_QUOTA_STORE: ") as caught, service(checkpoints, quota_store=store):
        pass
    assert "secret" not in str(caught.value)
    assert "secret" not in str(Settings(quota_store=store).model_dump(mode="json"))


def test_without_its_library_the_start_says_what_to_install(checkpoints, monkeypatch):
    monkeypatch.setitem(sys.modules, "redis.asyncio.retry", None)
    message = r"IMPASTO_QUOTA_STORE: needs the package redis: pip install 'impasto\[redis\]'"
    with pytest.raises(StartupError, match=message), service(checkpoints, quota_store="redis://127.0.0.1:1"):
        pass
