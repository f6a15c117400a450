"""What a connection may cost before there is a request."""

import json
import re
import socket
import time
from contextlib import contextmanager
from http.client import HTTPResponse

import httpx
import numpy as np
import pytest

from service.app import create_app
from service.models.registry import registry_from_settings
from service.settings import Settings
from tests.conftest import encoded, picture, running
from tests.service.http.test_operations import counted

SHORT = {"head_seconds": 0.5, "body_seconds": 0.5, "body_bytes_per_second": 10_000}
FEW = {"max_connections": 8, "max_connection_requests": 3, "max_header_bytes": 4096}
POST = b"POST /upscale?factor=2 HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\n"
GET = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"


def small_service(checkpoints, **settings):
    given = {"device": "cpu", "precision": "fp32", "max_batch_items": 1, "loading": "lazy"} | settings
    settings = Settings(checkpoints=checkpoints, **given)
    return create_app(settings, registry_from_settings(settings))


@pytest.fixture(scope="module")
def hurried(checkpoints):
    """The address of a service that does not wait for long."""
    with running(small_service(checkpoints, **SHORT)) as address:
        yield address


@pytest.fixture(scope="module")
def edge(checkpoints):
    """The address of a service that takes few and small ones."""
    with running(small_service(checkpoints, **FEW)) as address:
        yield address


def counter(address, name, **labels):
    with httpx.Client(base_url=address, timeout=30, trust_env=False) as client:
        return counted(client, name, **labels)


@contextmanager
def connection(address):
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        yield connection


def answer(connection):
    """(status, headers, body) until the other side closes; None where it closes without a word."""
    data = b""
    while chunk := connection.recv(65536):
        data += chunk
    if not data:
        return None
    head, _, body = data.partition(b"\r\n\r\n")
    line, *fields = head.decode().split("\r\n")
    return int(line.split()[1]), {k.lower(): v for k, v in (field.split(": ", 1) for field in fields)}, body


def refused(connection, status, code):
    got, headers, body = answer(connection)
    problem = json.loads(body)
    assert (got, problem["code"], problem["status"]) == (status, code, status)
    assert headers["content-type"] == "application/problem+json"
    assert headers["connection"] == "close"
    assert headers["x-content-type-options"] == "nosniff"
    return problem, headers


def drip(connection, data, pause=0.05):
    """Send a byte now and then, until the other side has had enough."""
    for byte in data:
        try:
            connection.sendall(bytes([byte]))
        except OSError:
            return
        time.sleep(pause)
        connection.setblocking(False)
        try:
            if connection.recv(1, socket.MSG_PEEK) is not None:
                return
        except BlockingIOError:
            pass
        finally:
            connection.settimeout(20)


def test_a_slow_head_is_answered_408(hurried):
    before = counter(hurried, "impasto_connections_refused_total", reason="request_timeout")
    with connection(hurried) as slow:
        drip(slow, b"GET /livez HTTP/1.1\r\nHost: " + b"a" * 100)
        problem, _ = refused(slow, 408, "request_timeout")
    assert problem["expected"] == "the request line and headers within 0.5 s"
    assert counter(hurried, "impasto_connections_refused_total", reason="request_timeout") == before + 1


def test_an_idle_connection_is_closed_without_a_response(hurried):
    with connection(hurried) as silent:
        assert answer(silent) is None


def test_a_slow_head_after_a_good_request_counts_too(hurried):
    with connection(hurried) as slow:
        slow.sendall(GET)
        assert b"200 OK" in slow.recv(65536)
        drip(slow, b"GET /livez HTTP/1.1\r\nHost: " + b"a" * 100)
        refused(slow, 408, "request_timeout")


def test_a_slow_body_is_answered_408(hurried):
    before = counter(hurried, "impasto_rejected_total", reason="request_timeout")
    with connection(hurried) as slow:
        slow.sendall(POST)
        drip(slow, bytes(200))
        problem, _ = refused(slow, 408, "request_timeout")
    assert problem["expected"] == "the whole body within 0.5 s, and 1 s for every 10000 bytes"
    assert re.match(r"\d+ bytes of the body have come in \d\.\d s; expected", problem["detail"])
    assert counter(hurried, "impasto_rejected_total", reason="request_timeout") == before + 1


def test_a_slow_form_and_a_slow_tensor_too(hurried):
    for head in (
        POST.replace(b"Host: a", b"Host: a\r\nContent-Type: multipart/form-data; boundary=b"),
        POST.replace(b"Host: a", b"Host: a\r\nContent-Type: application/json"),
    ):
        with connection(hurried) as slow:
            slow.sendall(head)
            refused(slow, 408, "request_timeout")
    with connection(hurried) as slow:
        slow.sendall(POST.replace(b"/upscale?factor=2", b"/v2/models/upscale.x2/infer"))
        status, _, body = answer(slow)
        assert (status, set(json.loads(body))) == (408, {"error"})


def test_a_body_that_keeps_its_pace_may_take_longer(hurried):
    body = encoded(picture(100, 100))
    assert len(body) > 12_000
    with connection(hurried) as steady:
        steady.sendall(
            POST.replace(b"50000", str(len(body)).encode()).replace(b"Host: a", b"Host: a\r\nConnection: close")
        )
        for start in range(0, len(body), 2500):
            steady.sendall(body[start : start + 2500])
            time.sleep(0.15)
        assert answer(steady)[0] == 200


def test_the_rest_of_a_body_that_was_refused_is_not_waited_for(hurried):
    with connection(hurried) as slow:
        slow.sendall(POST.replace(b"factor=2", b"nonsense=2"))
        began = time.monotonic()
        status, _, _ = answer(slow)  # until it is closed
        assert status == 422
        assert time.monotonic() - began < 10


def test_a_response_that_is_not_read_is_dropped(checkpoints):
    """It would hold its memory for as long as the client likes."""
    noise = encoded(np.random.default_rng(0).integers(0, 256, (500, 500, 3), np.uint8), "jpeg", quality=100)
    with running(small_service(checkpoints, **SHORT)) as address, socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        host, port = address.removeprefix("http://").split(":")
        deaf.connect((host, int(port)))
        deaf.sendall(
            POST.replace(b"factor=2", b"factor=4&format=png").replace(b"50000", str(len(noise)).encode()) + noise
        )
        with httpx.Client(base_url=address, trust_env=False) as client:
            while not counted(client, "impasto_connections_refused_total", reason="slow_reader"):
                time.sleep(0.05)
            assert counted(client, "impasto_connections") == 1


@pytest.mark.parametrize(
    "head",
    [
        b"GET /livez HTTP/1.1\r\nHost: a\r\nX-Large: " + b"x" * 100_000 + b"\r\n\r\n",
        b"GET /livez?" + b"x" * 5000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: a\r\n" + b"X-Many: 1\r\n" * 1000 + b"\r\n",
    ],
    ids=["one header", "the line", "many headers"],
)
def test_a_large_head_is_answered_431_however_it_comes(edge, head):
    with connection(edge) as large:
        large.sendall(head)
        problem, _ = refused(large, 431, "headers_too_large")
        assert problem["expected"] == "at most 4096 bytes"


@pytest.mark.parametrize(
    "data", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"hello\r\n\r\n", b"GET /\r\n\r\n"]
)
def test_what_is_not_http_is_refused_in_the_same_form(edge, data):
    with connection(edge) as other:
        other.sendall(data)
        refused(other, 400, "bad_request")


def test_one_connection_too_many_is_answered_503_and_the_others_go_on(edge):
    with connection(edge) as first:
        others = [socket.create_connection(first.getpeername()) for _ in range(7)]
        with connection(edge) as surplus:
            surplus.sendall(GET)
            problem, headers = refused(surplus, 503, "overloaded")
            assert (problem["limit"], headers["retry-after"]) == (8, "1")
        first.sendall(GET)
        assert b"200 OK" in first.recv(65536)
        for other in others:
            other.close()
    for _ in range(200):
        response = httpx.get(f"{edge}/livez", trust_env=False)
        if response.status_code == 200:
            break
        time.sleep(0.01)
    assert response.status_code == 200, "who left makes room"


def test_a_connection_is_closed_after_so_many_requests_and_the_client_is_told(edge):
    with connection(edge) as kept:
        for said in (None, None, "close"):
            kept.sendall(GET)
            response = HTTPResponse(kept)
            response.begin()
            response.read()
            assert (response.status, response.getheader("connection")) == (200, said)
        assert kept.recv(1) == b""


def test_requests_in_one_piece_are_answered_one_by_one(edge):
    with connection(edge) as pipelined:
        pipelined.sendall(GET * 5)
        data = b""
        while chunk := pipelined.recv(65536):
            data += chunk
        assert data.count(b"200 OK") == 3


def test_a_head_of_just_the_limit_is_taken(edge):
    head = b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: \r\n\r\n"
    with connection(edge) as exact:
        exact.sendall(head.replace(b"X: ", b"X: " + b"x" * (4096 - len(head))))
        assert answer(exact)[0] == 200
