"""What clients see of jobs, whichever store keeps them: in memory, and in a real Redis with two replicas."""

import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import pytest

from service.errors import StartupError
from service.settings import Settings
from tests.conftest import decoded, encoded
from tests.keys import ALICE, BOB, bearer, write_keys
from tests.service.auth.test_keys import service
from tests.service.auth.test_quotas import free_port, redis, redis_server  # noqa: F401  # a fixture
from tests.service.engine.test_isolation import doubled, wait_until
from tests.service.faults import BUG, PLAIN, WAIT, faulty_picture, faulty_service
from tests.service.http.test_bad_input import refused
from tests.service.http.test_jobs import ask, events_of, finished, promised, status
from tests.service.http.test_operations import counted

SMALL = {"max_batch_items": 1, "job_lease_seconds": 1}


@dataclass
class Replica:
    """A running service with a FaultyNet."""

    client: httpx.Client
    net: Any
    app: Any


@contextmanager
def replica(checkpoints, **settings):
    with (
        faulty_service(checkpoints, **{**SMALL, **settings}) as (address, net, app),
        httpx.Client(base_url=address, timeout=30, trust_env=False) as client,
    ):
        yield Replica(client, net, app)


@pytest.fixture(params=["memory", "redis"])
def replicas(request, checkpoints, tmp_path):
    """Start two replicas over one Redis, or twice the same one over memory."""
    with ExitStack() as stack:

        def start(**settings):
            if request.param == "memory":
                return [stack.enter_context(replica(checkpoints, **settings))] * 2
            server = request.getfixturevalue("redis_server")
            port, _ = stack.enter_context(redis(server, tmp_path))
            settings["job_store"] = f"redis://127.0.0.1:{port}/0"
            return [stack.enter_context(replica(checkpoints, **settings)) for _ in range(2)]

        yield start


@contextmanager
def paused(*replicas):
    """Keep the devices of replicas busy, so that jobs wait; the jobs that do so. They work on one job at a time."""
    different = list({id(each): each for each in replicas}.values())
    held = [promised(ask(each.client, body=encoded(faulty_picture(WAIT)))) for each in different]
    for each in different:
        assert each.net.waiting.acquire(timeout=30)
    try:
        yield held
    finally:
        for each in different:
            each.net.go.set()


def test_any_replica_serves_the_result_and_the_events(replicas):
    one, other = replicas()
    pixels = faulty_picture(PLAIN)
    path = promised(ask(one.client, body=encoded(pixels)))
    assert [name for name, _ in events_of(other.client, path)][-1] == "done"
    job = status(other.client, path)
    results = [each.client.get(f"{path}/result") for each in (one, other)]
    assert np.array_equal(decoded(results[0].content), doubled(pixels))
    assert (job["bytes"], job["media_type"]) == (len(results[0].content), "image/png")
    direct = other.client.post("/upscale?factor=2", content=encoded(pixels))
    for result in results:
        assert result.content == direct.content
        for header in ("content-type", "etag", "impasto-model", "impasto-exact", "content-disposition", "vary"):
            assert result.headers[header] == direct.headers[header]
    tagged = other.client.get(f"{path}/result", headers={"If-None-Match": direct.headers["etag"]})
    assert tagged.status_code == 304
    assert other.client.delete(path).status_code == 204
    for gone in (one.client.get(path), one.client.get(f"{path}/result"), one.client.delete(path)):
        assert "its 600 s are over" in refused(gone, 404, "unknown_job")["detail"]


def test_what_is_wrong_is_refused_at_once(replicas):
    one, _ = replicas()
    refused(ask(one.client, body=b"%PDF-1.7"), 415, "unsupported_image")
    refused(ask(one.client, "stylize?style=mosiac"), 404, "unknown_model")
    large = encoded(faulty_picture(PLAIN, 190, 200))
    refused(ask(one.client, "upscale?factor=2&deadline_ms=1", large), 504, "deadline_exceeded")


def test_a_client_that_waits_gets_the_output_itself(replicas):
    one, _ = replicas()
    pixels = faulty_picture(PLAIN)
    response = ask(one.client, body=encoded(pixels), Prefer="respond-async, wait=30")
    assert (response.status_code, "location" in response.headers) == (200, False)
    assert np.array_equal(decoded(response.content), doubled(pixels))
    failed = ask(one.client, body=encoded(faulty_picture(BUG)), Prefer="respond-async, wait=30")
    refused(failed, 500, "inference_failed")


def test_a_job_that_fails_tells_why_everywhere(replicas):
    one, other = replicas(max_jobs_running=1)
    with paused(one, other):
        path = promised(ask(one.client, body=encoded(faulty_picture(BUG)), **{"X-Request-ID": "asked-first"}))
    job = finished(other.client, path)
    assert (job["state"], job["problem"]["code"]) == ("failed", "inference_failed")
    assert job["problem"]["request_id"] == "asked-first"
    problem = refused(other.client.get(f"/jobs/{job['id']}/result"), 500, "inference_failed")
    assert problem["detail"] == job["problem"]["detail"]


def test_any_replica_cancels_a_job_that_waits_or_runs(replicas):
    one, other = replicas(max_jobs_running=1)
    with paused(one, other) as held:
        waiting = promised(ask(one.client, body=encoded(faulty_picture(PLAIN + 3))))
        assert status(other.client, waiting)["state"] == "queued"
        assert status(other.client, waiting)["position"] == len(held) + 1
        refused(other.client.get(f"{waiting}/result"), 409, "no_result")
        for path in (waiting, *held):
            assert other.client.delete(path).status_code == 204
            assert status(one.client, path)["state"] == "cancelled"
            assert [name for name, _ in events_of(one.client, path)] == ["cancelled"]
        for each in (one, other):
            wait_until(lambda each=each: not each.app.state.jobs.busy)
            each.net.go.set()
            wait_until(lambda each=each: each.app.state.engine.scheduler.idle)
    assert [PLAIN + 3] not in one.net.passes + other.net.passes
    assert counted(other.client, "impasto_async_jobs_finished_total", outcome="cancelled") == len(held) + 1


def test_the_same_key_is_the_same_job_on_every_replica(replicas):
    one, other = replicas()
    body = encoded(faulty_picture(PLAIN + 5))
    first = promised(ask(one.client, body=body, **{"Idempotency-Key": "a"}))
    assert promised(ask(other.client, body=body, **{"Idempotency-Key": "a"})) == first
    reused = ask(other.client, body=encoded(faulty_picture(PLAIN)), **{"Idempotency-Key": "a"})
    assert refused(reused, 422, "idempotency_key_reused")["parameter"] == "Idempotency-Key"
    assert finished(other.client, first)["state"] == "done"
    assert (one.net.passes + (other.net.passes if other is not one else [])).count([PLAIN + 5]) == 1


def test_the_store_is_full_for_all_replicas(replicas):
    one, other = replicas(max_jobs=3, max_jobs_running=1)
    with paused(one, other) as held:
        more = [promised(ask(one.client, body=encoded(faulty_picture(PLAIN)))) for _ in range(3 - len(held))]
        problem = refused(ask(other.client), 503, "overloaded")
        assert "3 jobs are kept, the limit is 3" in problem["detail"]
    for path in (*held, *more):
        assert finished(other.client, path)["state"] == "done"
    refused(ask(other.client), 503, "overloaded")
    assert other.client.get(f"{held[0]}/result").status_code == 200
    promised(ask(one.client))


def test_jobs_belong_to_their_owner_and_are_charged(checkpoints, replicas, tmp_path):
    fields = {"scopes": ["transform"], "pixels_per_minute": 3000}
    keys = write_keys(tmp_path / "keys", {"alice": {"key": ALICE, **fields}, "bob": {"key": BOB, **fields}})
    one, other = replicas(keys_file=keys)
    body = encoded(faulty_picture(PLAIN))  # 2400 pixels of output
    path = promised(ask(one.client, body=body, **bearer(ALICE)))
    refused(ask(one.client, body=body, **bearer(ALICE)), 429, "quota_exceeded")
    for answer in (other.client.get(path, headers=bearer(BOB)), other.client.delete(path, headers=bearer(BOB))):
        refused(answer, 404, "unknown_job")
    assert other.client.get(path, headers=bearer(ALICE)).status_code == 200
    promised(ask(other.client, body=body, **bearer(BOB)))


def test_results_are_forgotten_after_their_time(replicas):
    one, other = replicas(job_seconds=0.2)
    path = promised(ask(one.client))
    wait_until(lambda: other.client.get(path).status_code == 404)
    wait_until(lambda: counted(other.client, "impasto_async_jobs", state="finished") == 0)


@pytest.fixture
def pair(checkpoints, tmp_path, redis_server):  # noqa: F811
    """(start, port, Redis): starts replicas over one Redis that keeps an append-only file."""
    with ExitStack() as stack:
        port, process = stack.enter_context(redis(redis_server, tmp_path, options=["--appendonly", "yes"]))

        def start(**settings):
            store = f"redis://127.0.0.1:{port}/0"
            return stack.enter_context(replica(checkpoints, job_store=store, **settings))

        yield start, port, process


def test_a_replica_that_drains_returns_what_it_has_not_started(pair):
    start, _, _ = pair
    one = start()
    with paused(one) as held:
        waiting = promised(ask(one.client, body=encoded(faulty_picture(PLAIN + 3))))
        wait_until(lambda: counted(one.client, "impasto_async_claims_total") == 2)
        other = start()
        one.app.state.admission.close()
        assert finished(other.client, waiting)["state"] == "done"
        assert other.net.passes == [[PLAIN + 3]]
        assert one.app.state.jobs.busy, "what runs is finished"
    assert finished(other.client, held[0])["state"] == "done"
    wait_until(lambda: not one.app.state.jobs.busy)


def test_jobs_survive_a_redis_that_is_away(pair, tmp_path, redis_server):  # noqa: F811
    start, port, process = pair
    one = start()
    with paused(one) as held:
        queued = promised(ask(one.client, body=encoded(faulty_picture(PLAIN + 3))))
        process.kill()
        process.wait()
        body = encoded(faulty_picture(PLAIN))
        for answer in (ask(one.client, body=body), one.client.get(queued), one.client.delete(queued)):
            assert "job store" in refused(answer, 503, "unavailable")["detail"]
            assert answer.headers["retry-after"] == "5"
        assert one.client.get("/readyz").status_code == 200
        assert one.client.post("/stylize?style=mosaic&strength=0", content=body).status_code == 200
        assert counted(one.client, "impasto_job_store_errors_total") >= 3
        one.net.go.set()  # the result is computed while there is nowhere to store it
        time.sleep(1.2)
    with redis(redis_server, tmp_path, port, ["--appendonly", "yes"]):
        for path in (*held, queued):
            assert finished_in_time(one.client, path)["state"] == "done"
        assert one.net.passes.count([WAIT]) == 1, "its lease went on"


def finished_in_time(client, path):
    wait_until(lambda: client.get(path).status_code == 200)
    return finished(client, path)


@pytest.mark.parametrize("store", ["memcached://x", "redis", "http://secret@x", "redis://:secret@[x"])
def test_an_invalid_store_stops_the_start_and_its_password_is_not_shown(checkpoints, store):
    with pytest.raises(StartupError, match="IMPASTO_JOB_STORE: ") as caught, service(checkpoints, job_store=store):
        pass
    assert "secret" not in str(caught.value)
    assert "secret" not in str(Settings(job_store=store).model_dump(mode="json"))


def test_the_service_starts_without_its_store_and_finds_it_later(checkpoints, tmp_path, redis_server):  # noqa: F811
    port = free_port()
    with replica(checkpoints, job_store=f"redis://127.0.0.1:{port}/0") as one:
        refused(ask(one.client), 503, "unavailable")
        with redis(redis_server, tmp_path, port):
            wait_until(lambda: ask(one.client).status_code == 202)
