"""Faults injected into a running service: whose picture goes wrong hears of it, and nobody else."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest

from tests.conftest import decoded, encoded, picture
from tests.service.faults import BUG, LOST, NO_MEMORY, NOT_A_NUMBER, PLAIN, WAIT, faulty_picture, faulty_service


@pytest.fixture
def faulty(checkpoints):
    with faulty_service(checkpoints) as (address, net, app):
        yield address, net, app


def upscale(address, pixels, **query):
    query = {"factor": 2, **query}
    return httpx.post(f"{address}/upscale", params=query, content=encoded(pixels), timeout=60, trust_env=False)


def doubled(pixels):
    return pixels.repeat(2, 0).repeat(2, 1)


def hold(address, net, clients):
    """Keep the device busy until `net.go`; the answer to come."""
    held = clients.submit(upscale, address, faulty_picture(WAIT))
    assert net.waiting.acquire(timeout=30)
    return held


def metric(address, name):
    lines = httpx.get(f"{address}/metrics", trust_env=False).text.splitlines()
    return next((float(line.split()[-1]) for line in lines if line.startswith(f"{name} ")), 0.0)


def wait_until(condition):
    while not condition():
        time.sleep(0.005)


@pytest.mark.parametrize("fault", [BUG, NOT_A_NUMBER])
def test_one_image_that_fails_its_batch_fails_alone(faulty, fault):
    address, net, app = faulty
    with ThreadPoolExecutor(8) as clients:
        held = hold(address, net, clients)
        pictures = [faulty_picture(code) for code in (PLAIN, fault, PLAIN + 1)]
        answers = [clients.submit(upscale, address, pixels) for pixels in pictures]
        wait_until(
            lambda: (
                app.state.admission.requests_in_flight == 4
                and metric(address, 'impasto_queue_jobs{model="upscale/x2"}') == 3
            )
        )
        net.go.set()
        responses = [answer.result() for answer in answers]
        assert held.result().status_code == 200
    assert any(len(codes) == 3 for codes in net.passes), "they did not share a batch: this test tests nothing"
    assert [response.status_code for response in responses] == [200, 500, 200]
    assert responses[1].json()["code"] == "inference_failed"
    assert "bug" not in responses[1].text
    for i in (0, 2):
        assert np.array_equal(decoded(responses[i].content), doubled(pictures[i]))
    assert httpx.get(f"{address}/readyz", trust_env=False).status_code == 200


def test_out_of_memory_halves_what_is_computed_at_once_and_the_answer_is_still_right(checkpoints):
    with faulty_service(checkpoints, most_pixels=30_000, max_pixels=10**6) as (address, net, app):
        pixels = faulty_picture(NO_MEMORY, 300, 400)
        response = upscale(address, pixels)
        assert response.status_code == 200
        assert np.array_equal(decoded(response.content), doubled(pixels))
        assert app.state.engine.limits.tile_pixels <= 30_000
        failures = len(net.passes)
        assert upscale(address, pixels).status_code == 200
        assert len(net.passes) - failures < failures  # it is remembered
        assert metric(address, "impasto_out_of_memory_total") >= 1


def test_a_device_without_memory_for_the_least_tile_refuses_the_picture_and_serves_others(checkpoints):
    with faulty_service(checkpoints, most_pixels=10, max_pixels=10**6) as (address, _net, _app):
        problem = upscale(address, faulty_picture(NO_MEMORY, 200, 300))
        assert (problem.status_code, problem.json()["code"]) == (500, "inference_failed")
        assert "not enough memory" in problem.json()["detail"]
        assert upscale(address, faulty_picture(PLAIN)).status_code == 200


def test_a_lost_device_fails_what_is_in_flight_and_turns_the_probes_red(faulty):
    address, net, app = faulty
    with ThreadPoolExecutor(8) as clients:
        held = hold(address, net, clients)
        answers = [clients.submit(upscale, address, faulty_picture(code)) for code in (LOST, PLAIN, PLAIN)]
        wait_until(lambda: app.state.admission.requests_in_flight == 4)
        net.go.set()
        assert {answer.result().status_code for answer in answers} <= {200, 503}
        assert answers[0].result().json()["code"] == "unavailable"
        assert answers[0].result().headers["retry-after"]
        held.result()
    assert httpx.get(f"{address}/livez", trust_env=False).status_code == 503
    assert httpx.get(f"{address}/readyz", trust_env=False).status_code == 503
    assert upscale(address, faulty_picture(PLAIN)).json()["code"] == "unavailable"
    assert "illegal memory access" in app.state.engine.fatal


def test_clients_that_disconnect_leave_the_queue_and_nothing_is_computed_for_them(faulty):
    address, net, app = faulty
    host, port = address.removeprefix("http://").split(":")
    body = encoded(faulty_picture(PLAIN))
    request = f"POST /upscale?factor=2 HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    with ThreadPoolExecutor(1) as clients:
        held = hold(address, net, clients)
        connections = [socket.create_connection((host, int(port))) for _ in range(20)]
        for connection in connections:
            connection.sendall(request)
        wait_until(lambda: metric(address, 'impasto_queue_jobs{model="upscale/x2"}') == 20)
        for connection in connections:
            connection.close()
        wait_until(lambda: app.state.admission.requests_in_flight == 1)
        net.go.set()
        assert held.result().status_code == 200
    assert metric(address, 'impasto_cancelled_total{reason="client_left"}') > 0
    assert net.passes == [[WAIT]]
    assert metric(address, 'impasto_queue_pixels{model="upscale/x2"}') == 0
    assert upscale(address, faulty_picture(PLAIN)).status_code == 200


def test_remaining_tiles_of_a_disconnected_client_are_not_computed(checkpoints):
    with faulty_service(checkpoints, tile_pixels=4096, max_pixels=10**6, max_batch_items=1) as (address, net, app):
        with (
            httpx.Client(base_url=address, trust_env=False, timeout=0.5) as client,
            pytest.raises(httpx.ReadTimeout),
        ):
            client.post("/upscale?factor=2", content=encoded(faulty_picture(WAIT, 200, 200)))
        wait_until(lambda: app.state.admission.requests_in_flight == 0)
        net.go.set()
        assert upscale(address, faulty_picture(PLAIN)).status_code == 200
        assert net.passes == [[WAIT], [PLAIN]]


def test_a_deadline_that_cannot_be_met_is_refused_at_once_with_the_prediction(client):
    client.post("/upscale?factor=4", content=encoded(picture(100, 100)))
    response = client.post("/upscale?factor=4&deadline_ms=1", content=encoded(picture(130, 130)))
    problem = response.json()
    assert (response.status_code, problem["code"]) == (504, "deadline_exceeded")
    assert problem["parameter"] == "deadline_ms"
    assert problem["predicted_seconds"] > 0
    assert client.post("/upscale?factor=2&deadline_ms=60000", content=encoded(picture())).status_code == 200
    assert client.post("/upscale?factor=2", content=encoded(picture()), headers={"Request-Timeout": "60"}).is_success


def test_a_task_past_its_deadline_gets_504_and_is_not_computed(faulty):
    address, net, app = faulty
    with ThreadPoolExecutor(2) as clients:
        held = hold(address, net, clients)
        late = clients.submit(upscale, address, faulty_picture(PLAIN), deadline_ms=1500)
        wait_until(lambda: app.state.admission.requests_in_flight == 2)
        time.sleep(1.6)
        net.go.set()
        assert held.result().status_code == 200
        assert (late.result().status_code, late.result().json()["code"]) == (504, "deadline_exceeded")
    assert net.passes == [[WAIT]]
    assert metric(address, 'impasto_cancelled_total{reason="deadline"}') == 1


@pytest.mark.parametrize(
    ("query", "headers", "parameter"),
    [("&deadline_ms=0", {}, "deadline_ms"), ("&deadline_ms=soon", {}, "deadline_ms"),
     ("", {"Request-Timeout": "-1"}, "request-timeout"), ("", {"Request-Timeout": "nan"}, "request-timeout")],
)  # fmt: skip
def test_an_invalid_deadline_is_refused_by_name(client, query, headers, parameter):
    response = client.post(f"/upscale?factor=2{query}", content=encoded(picture()), headers=headers)
    assert (response.status_code, response.json()["parameter"]) == (422, parameter)


def test_two_devices_compute_at_once_before_one_queue(checkpoints):
    with faulty_service(checkpoints, device="cpu,cpu", max_batch_items=1) as (address, net, _app):
        with ThreadPoolExecutor(3) as clients:
            held = [hold(address, net, clients) for _ in range(2)]
            third = clients.submit(upscale, address, faulty_picture(PLAIN))
            net.go.set()
            assert {answer.result().status_code for answer in [*held, third]} == {200}
        assert "cpu,cpu" in httpx.get(f"{address}/metrics", trust_env=False).text


def test_requests_beyond_the_permits_get_retry_after(checkpoints):
    with faulty_service(checkpoints, max_requests=2) as (address, net, app), ThreadPoolExecutor(8) as clients:
        held = hold(address, net, clients)
        second = clients.submit(upscale, address, faulty_picture(PLAIN))
        wait_until(lambda: app.state.admission.requests_in_flight == 2)
        refused = upscale(address, faulty_picture(PLAIN))
        assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert httpx.get(f"{address}/limits", trust_env=False).json()["max_requests"] == 2
        net.go.set()
        assert (held.result().status_code, second.result().status_code) == (200, 200)


def test_pixels_beyond_the_limit_are_refused_until_others_are_done(checkpoints):
    with faulty_service(checkpoints, max_pixels_in_flight=20_000) as (address, net, app):
        with ThreadPoolExecutor(8) as clients:
            held = hold(address, net, clients)
            refused = upscale(address, faulty_picture(PLAIN, 60, 60))
            assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
            assert "pixels are in flight, the limit is 20000" in refused.json()["detail"]
            net.go.set()
            assert held.result().status_code == 200
        assert app.state.admission.pixels_in_flight == 0
        assert upscale(address, faulty_picture(PLAIN, 60, 60)).status_code == 200
        problem = upscale(address, faulty_picture(PLAIN, 60, 70))
        assert (problem.status_code, problem.json()["code"]) == (413, "too_many_pixels")
        assert "need the memory of 21000 pixels in 8-bit colours; expected at most 20000" in problem.json()["detail"]
