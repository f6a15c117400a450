"""Prefer: respond-async: jobs, as their clients see them."""

import asyncio
import json
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import numpy as np
import pytest

from service.auth.caller import ANONYMOUS
from service.http.headers import Preference, parse_prefer
from tests.conftest import decoded, encoded, picture
from tests.service.engine.test_isolation import doubled, hold, metric, wait_until
from tests.service.faults import BUG, PLAIN, WAIT, faulty_picture, faulty_service
from tests.service.http.test_bad_input import refused
from tests.service.http.test_operations import counted

PICTURE = encoded(picture())
ASYNC = {"Prefer": "respond-async"}
OVER = {"done", "failed", "cancelled"}


def ask(client, query="upscale?factor=2", body=PICTURE, **headers):
    return client.post(f"/{query}", content=body, headers={**ASYNC, **headers})


def promised(response):
    """The path of the job that a 202 promises."""
    assert response.status_code == 202, response.text
    assert re.fullmatch(r"/jobs/[\w-]{24}", response.headers["location"])
    assert response.json()["id"] == response.headers["location"].rpartition("/")[2]
    return response.headers["location"]


def status(client, path):
    response = client.get(path)
    assert response.status_code == 200, response.text
    assert response.headers["cache-control"] == "no-store"
    return response.json()


def finished(client, path):
    wait_until(lambda: status(client, path)["state"] in OVER)
    return status(client, path)


def events_of(client, path):
    """(name, data) of every server-sent event, to the end of the stream."""
    with client.stream("GET", f"{path}/events") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        name = ""
        for line in response.iter_lines():
            field, _, value = line.partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                yield name, json.loads(value)


@contextmanager
def serving(checkpoints, **settings):
    """(client, network, app) of a running service whose upscale/x2 is a FaultyNet."""
    with (
        faulty_service(checkpoints, **settings) as (address, net, app),
        httpx.Client(base_url=address, timeout=30, trust_env=False) as client,
    ):
        yield client, net, app


@pytest.fixture
def faulty(checkpoints):
    """A service that works on one job at a time and keeps three."""
    with serving(checkpoints, max_batch_items=1, max_jobs=3) as (client, net, app):
        yield client, net, app
        net.go.set()


@pytest.fixture
def held(faulty):
    """The same, its device kept busy by somebody else until `net.go` is set."""
    client, net, app = faulty
    with ThreadPoolExecutor(1) as others:
        answer = hold(str(client.base_url), net, others)
        yield client, net, app
        net.go.set()
        assert answer.result().status_code == 200


@pytest.mark.parametrize("query", ["stylize?style=mosaic", "upscale?factor=4"])
def test_a_job_gives_the_same_output_as_a_direct_request(client, query):
    path = promised(ask(client, query))
    job = finished(client, path)
    at_once = client.post(f"/{query}", content=PICTURE)
    result = client.get(f"{path}/result")
    assert result.content == at_once.content
    assert (job["state"], job["bytes"], job["media_type"]) == ("done", len(result.content), "image/png")
    assert set(job["milliseconds"]) == {"decode", "queue", "forward", "encode"}
    for header in ("content-type", "etag", "impasto-model", "impasto-exact", "content-disposition"):
        assert result.headers[header] == at_once.headers[header]
    tagged = client.get(f"{path}/result", headers={"If-None-Match": result.headers["etag"]})
    assert (tagged.status_code, tagged.content) == (304, b"")
    assert client.delete(path).status_code == 204
    for gone in (client.get(path), client.get(f"{path}/result"), client.get(f"{path}/events"), client.delete(path)):
        refused(gone, 404, "unknown_job")


def test_what_is_wrong_with_a_request_is_said_at_once_and_not_promised(client):
    before = counted(client, "impasto_async_jobs", state="finished")
    refused(ask(client, body=b"%PDF-1.7"), 415, "unsupported_image")
    refused(ask(client, "stylize?style=mosiac"), 404, "unknown_model")
    refused(ask(client, "upscale?factor=4", encoded(picture(150, 150))), 413, "too_many_pixels")
    refused(ask(client, "upscale?factor=2&deadline_ms=1", encoded(picture(190, 200))), 504, "deadline_exceeded")
    refused(ask(client, **{"Idempotency-Key": "x" * 256}), 422, "invalid_parameter")
    assert counted(client, "impasto_async_jobs", state="finished") == before


def test_a_client_that_waits_gets_the_output_directly(client):
    for prefer in ("respond-async, wait=30", 'Wait="30", RESPOND-ASYNC; foo'):
        response = ask(client, Prefer=prefer)
        assert response.status_code == 200
        assert response.content == client.post("/upscale?factor=2", content=PICTURE).content
    assert client.post("/upscale?factor=2", content=PICTURE, headers={"Prefer": "wait=0"}).status_code == 200


def test_a_client_is_not_kept_waiting_longer_than_it_would(held):
    client, net, _ = held
    response = ask(client, body=encoded(faulty_picture(PLAIN)), Prefer="respond-async, wait=1")
    assert response.headers["preference-applied"] == "respond-async, wait=1"
    path = promised(response)
    net.go.set()
    assert finished(client, path)["state"] == "done"


def test_nor_as_long_as_it_would_where_the_predicted_cost_is_more(held):
    client, _net, app = held
    app.state.engine.costs.observe("upscale/x2", 600, 5000.0)
    before = counted(client, "impasto_async_jobs", state="unfinished")
    response = ask(client, body=encoded(faulty_picture(PLAIN)), Prefer="respond-async, wait=25")
    assert response.json()["seconds_left"] > 25
    assert int(response.headers["retry-after"]) > 25
    promised(response)
    assert counted(client, "impasto_async_jobs", state="unfinished") == before + 1


def test_events_tell_the_position_the_tiles_and_the_end(checkpoints):
    settings = {"max_batch_items": 1, "tile_pixels": 4096, "max_pixels": 10**6}
    with serving(checkpoints, **settings) as (client, net, _app), ThreadPoolExecutor(2) as others:
        before = hold(str(client.base_url), net, others)
        pixels = faulty_picture(WAIT, 200, 300)
        path = promised(ask(client, body=encoded(pixels)))
        wait_until(lambda: status(client, path).get("position") == 2)
        told = []
        following = others.submit(follow, client, path, told)
        wait_until(lambda: told)
        net.go.set()
        following.result()
        assert before.result().status_code == 200
        assert told[0] == {"id": path.rpartition("/")[2], "state": "queued", "position": 2, **seconds(told[0])}
        assert told[-1]["state"] == "done"
        assert np.array_equal(decoded(client.get(f"{path}/result").content), doubled(pixels))
        assert [name for name, _ in events_of(client, path)] == ["done"]  # who comes later hears the end alone


def test_events_tell_the_tiles(checkpoints):
    settings = {"max_batch_items": 1, "tile_pixels": 4096, "max_pixels": 10**6}
    with serving(checkpoints, **settings) as (client, net, _app), ThreadPoolExecutor(1) as others:
        path = promised(ask(client, body=encoded(faulty_picture(WAIT, 200, 300))))
        assert net.waiting.acquire(timeout=30)
        told = []
        following = others.submit(follow, client, path, told)
        wait_until(lambda: told)
        net.go.set()
        following.result()
        assert (told[0]["state"], told[0]["tiles_done"]) == ("running", 0)
        assert told[0]["tiles_total"] > 10
        running = [data for data in told if data["state"] == "running"]
        assert [data["tiles_done"] for data in running] == sorted(data["tiles_done"] for data in running)
        assert {data["tiles_total"] for data in running} == {told[0]["tiles_total"]}


def follow(client, path, told):
    for name, data in events_of(client, path):
        assert name == data["state"]
        told.append(data)


def seconds(job):
    return {"seconds_left": job["seconds_left"]}


def test_a_job_that_is_deleted_leaves_the_device_queue_uncomputed(held):
    client, net, app = held
    path = promised(ask(client, body=encoded(faulty_picture(PLAIN + 3))))
    wait_until(lambda: metric(str(client.base_url), 'impasto_queue_jobs{model="upscale/x2"}') == 1)
    refused(client.get(f"{path}/result"), 409, "no_result")
    with ThreadPoolExecutor(1) as others:
        events = others.submit(lambda: [name for name, _ in events_of(client, path)])
        wait_until(lambda: app.state.admission.requests_in_flight == 2)
        assert client.delete(path).status_code == 204
        assert events.result()[-1] == "cancelled"
    assert status(client, path)["state"] == "cancelled"
    refused(client.get(f"{path}/result"), 409, "no_result")
    wait_until(lambda: app.state.admission.requests_in_flight == 1)
    net.go.set()
    wait_until(lambda: app.state.engine.scheduler.idle)
    assert [PLAIN + 3] not in net.passes
    assert counted(client, "impasto_async_jobs_finished_total", outcome="cancelled") == 1
    assert client.delete(path).status_code == 204
    refused(client.get(path), 404, "unknown_job")


def test_a_job_that_fails_tells_why_and_its_result_is_the_problem(held):
    client, net, _ = held
    path = promised(ask(client, body=encoded(faulty_picture(BUG)), **{"X-Request-ID": "asked-first"}))
    net.go.set()
    job = finished(client, path)
    assert job["state"] == "failed"
    assert job["problem"]["code"] == "inference_failed"
    assert job["problem"]["request_id"] == "asked-first"
    assert refused(client.get(f"{path}/result"), 500, "inference_failed")["detail"] == job["problem"]["detail"]


def test_the_same_key_and_request_is_the_same_job_and_is_computed_once(held):
    client, net, _ = held
    body = encoded(faulty_picture(PLAIN + 5))
    paths = {promised(ask(client, body=body, **{"Idempotency-Key": "first"})) for _ in range(3)}
    assert len(paths) == 1
    other = ask(client, body=encoded(faulty_picture(PLAIN)), **{"Idempotency-Key": "first"})
    assert refused(other, 422, "idempotency_key_reused")["parameter"] == "Idempotency-Key"
    refused(ask(client, "upscale?factor=1.5", body, **{"Idempotency-Key": "first"}), 422, "idempotency_key_reused")
    second = promised(ask(client, body=body, **{"Idempotency-Key": "second"}))
    assert second not in paths
    client.delete(second)
    again = promised(ask(client, body=body, **{"Idempotency-Key": "second"}))
    assert again != second  # what was cancelled is begun anew
    client.delete(again)
    net.go.set()
    assert finished(client, paths.pop())["state"] == "done"
    assert net.passes.count([PLAIN + 5]) == 1


def test_jobs_are_bounded_in_number_and_fetched_ones_make_room(held):
    client, net, _ = held
    paths = [promised(ask(client, body=encoded(faulty_picture(PLAIN)))) for _ in range(3)]
    problem = refused(ask(client), 503, "overloaded")
    assert "3 jobs are kept, the limit is 3" in problem["detail"]
    assert client.post("/stylize?style=mosaic&strength=0", content=PICTURE).status_code == 200
    net.go.set()
    for path in paths:
        assert finished(client, path)["state"] == "done"
    refused(ask(client), 503, "overloaded")  # nobody has fetched any
    assert client.get(f"{paths[1]}/result").status_code == 200
    promised(ask(client))
    assert status(client, paths[0])["state"] == "done"
    refused(client.get(paths[1]), 404, "unknown_job")


def test_jobs_are_bounded_in_bytes(checkpoints):
    with serving(checkpoints, max_job_bytes=2**16) as (client, _net, app):
        small, large = encoded(faulty_picture(PLAIN, 60, 80)), encoded(faulty_picture(PLAIN, 120, 160))
        refused(ask(client, body=large), 503, "overloaded")
        paths = []
        for _ in range(6):
            paths.append(promised(ask(client, body=small)))
            wait_until(lambda: done(app))
        assert sum(job.size_bytes for job in app.state.jobs) <= 2**16
        assert counted(client, "impasto_async_job_bytes") <= 2**16
        assert status(client, paths[-1])["state"] == "done"  # the newest stays, the oldest went
        refused(client.get(paths[0]), 404, "unknown_job")
        wide = finished(client, promised(ask(client, "upscale?factor=4", encoded(picture(100, 100)))))
        assert wide["problem"]["code"] == "answer_too_large"


def done(app):
    return all(job.over.is_set() for job in app.state.jobs)


def test_jobs_are_bounded_in_time(checkpoints):
    with serving(checkpoints, job_seconds=0.2) as (client, _net, app):
        path = promised(ask(client))
        wait_until(lambda: not list(app.state.jobs))
        assert "its 0.2 s are over" in refused(client.get(path), 404, "unknown_job")["detail"]
        assert counted(client, "impasto_async_jobs", state="finished") == 0


def test_a_full_service_lets_jobs_wait_rather_than_fail(checkpoints):
    settings = {"max_batch_items": 1, "max_requests": 2, "max_jobs_running": 2}
    with serving(checkpoints, **settings) as (client, net, app), ThreadPoolExecutor(4) as others:
        before = [hold(str(client.base_url), net, others)]
        before.append(others.submit(client.post, "/upscale?factor=2", content=encoded(faulty_picture(PLAIN))))
        wait_until(lambda: app.state.admission.requests_in_flight == 2)
        refused(client.post("/upscale?factor=2", content=PICTURE), 503, "overloaded")
        asked = [others.submit(ask, client, body=encoded(faulty_picture(PLAIN + i))) for i in range(2)]
        wait_until(lambda: len(list(app.state.jobs)) == 2)
        third = status(client, promised(ask(client)))
        assert (third["state"], third["position"]) == ("queued", 3)
        net.go.set()
        assert [answer.result().status_code for answer in before] == [200, 200]
        for path in [promised(answer.result()) for answer in asked]:
            assert finished(client, path)["state"] == "done"
        assert finished(client, f"/jobs/{third['id']}")["state"] == "done"


def test_a_client_that_disconnects_before_it_has_the_job_id_is_not_computed(held):
    client, _net, app = held
    body = encoded(faulty_picture(PLAIN))
    with pytest.raises(httpx.ReadTimeout):
        client.post("/upscale?factor=2", content=body, headers={"Prefer": "respond-async, wait=20"}, timeout=0.5)
    wait_until(lambda: app.state.admission.requests_in_flight == 1)
    assert {job.state for job in app.state.jobs} <= {"cancelled"}


def test_preferences_are_read_as_they_are_meant():
    assert parse_prefer([]) == Preference()
    assert parse_prefer(["respond-async"]) == Preference(True)
    assert parse_prefer(["return=minimal; x=1, respond-async", "wait=10"]) == Preference(True, 10)
    assert parse_prefer(["wait=5, wait=7"]) == Preference(False, 5)
    for malformed in ("wait", "wait=", "wait=ten", "wait=-1", "wait=1.5", "wait=" + "9" * 40, "wait=²"):
        assert parse_prefer([f"respond-async, {malformed}"]) == Preference(True), malformed


def test_a_stop_cancels_what_is_left(faulty):
    client, net, app = faulty
    path = promised(ask(client, body=encoded(faulty_picture(WAIT))))
    assert net.waiting.acquire(timeout=30)
    assert app.state.jobs.busy
    job = app.state.jobs.find(path.rpartition("/")[2], ANONYMOUS)
    asyncio.run_coroutine_threadsafe(app.state.jobs.stop(), job.task.get_loop()).result()
    assert job.state == "cancelled"
    assert not app.state.jobs.busy
    refused(client.get(path), 404, "unknown_job")
