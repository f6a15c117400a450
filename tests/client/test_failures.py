"""Servers in a bad mood: full, silent, gone, not ours. What is tried again, what is not, what is raised."""

import asyncio
import pickle
import socket
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

import impasto
from impasto.errors import problem_classes
from service import errors as served
from tests.conftest import encoded, picture
from tests.scripted import HANG_UP, answer, problem, scripted

PICTURE = encoded(picture(8, 9))
AT_ONCE = impasto.Retries(first_seconds=0.001, most_seconds=0.001)
GOOD = answer(200, PICTURE)
FULL = problem(503, "overloaded", Retry_After=0)


def test_a_full_server_is_retried(connect):
    with scripted(FULL, FULL, problem(429, "too_many_requests", Retry_After=0), GOOD) as server:
        assert connect(server.address, retries=AT_ONCE).stylize(PICTURE, style="mosaic") == PICTURE
        assert len(server.requests) == 4
        assert {body for _, body in server.requests} == {PICTURE}


def test_a_broken_connection_is_retried(connect):
    with scripted(HANG_UP, answer(200, PICTURE)[:-4], GOOD) as server:
        assert connect(server.address, retries=AT_ONCE).stylize(PICTURE, style="mosaic") == PICTURE
        assert len(server.requests) == 3


def test_patience_ends(connect):
    with scripted(problem(503, "overloaded", "full", Retry_After=0, limit=32, request_id="abc")) as server:
        client = connect(server.address, retries=impasto.Retries(attempts=3, first_seconds=0.001))
        with pytest.raises(impasto.OverloadedError, match="full") as caught:
            client.stylize(PICTURE, style="mosaic")
        assert len(server.requests) == 3
        assert (caught.value.facts["limit"], caught.value.retry_after, caught.value.request_id) == (32, 0, "abc")
    with scripted(HANG_UP) as server, pytest.raises(impasto.ConnectionFailedError, match=r"127.*\(2 attempts\)"):
        connect(server.address, retries=impasto.Retries(2, 0.001)).models()


@pytest.mark.parametrize("code", [kind.known_code for kind in problem_classes()])
def test_a_no_that_will_stay_one_is_said_at_once_and_has_a_class_of_its_own(connect, code):
    kind = next(kind for kind in problem_classes() if kind.known_code == code)
    with scripted(problem(422, code, "why", parameter="style", value="x", expected=["y"], request_id="id")) as server:
        with pytest.raises(kind) as caught:
            connect(server.address, retries=AT_ONCE).stylize(PICTURE, style="x")
        assert len(server.requests) == 1
    error = pickle.loads(pickle.dumps(caught.value))
    assert type(error) is kind
    assert (error.code, error.detail, error.status, str(error)) == (code, "why", 422, "why")
    assert (error.parameter, error.value, error.expected, error.request_id) == ("style", "x", ["y"], "id")


def test_there_is_a_class_for_each_code_of_the_service():
    codes = {kind.code for kind in served.ServiceError.__subclasses__()}
    of_jobs = {"unknown_job", "no_result", "idempotency_key_reused", "answer_too_large"}  # this client makes none
    assert codes - of_jobs - {"client_left"} <= {kind.known_code for kind in problem_classes()}


def test_a_code_of_tomorrow_is_a_problem_all_the_same(connect):
    with scripted(problem(418, "teapot", "short and stout")) as server, pytest.raises(impasto.ProblemError) as caught:
        connect(server.address).models()
    assert (type(caught.value), caught.value.code) == (impasto.ProblemError, "teapot")


@pytest.mark.parametrize(
    "said",
    [
        answer(400, b"<html>nginx</html>", "text/html"),
        answer(404, b"[1]", "application/json"),
        answer(302, b"", "text/plain", Location="http://127.0.0.1:1/"),
        answer(200, b"<html>hello</html>", "text/html"),
        answer(200, b"{}", "application/json"),
        answer(500, b"{", "application/problem+json"),
    ],
)
def test_another_service_is_recognised(connect, said):
    with scripted(said) as server:
        client = connect(server.address, retries=AT_ONCE)
        for call in (lambda: client.stylize(PICTURE, style="mosaic"), client.models):
            with pytest.raises(impasto.ProblemError) as caught:
                call()
            assert caught.value.code == "unrecognised"
            assert server.address in caught.value.detail


def test_nothing_listens(connect):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    client = connect(f"http://127.0.0.1:{port}", retries=impasto.Retries(3, 60.0))
    start = time.monotonic()
    with pytest.raises(impasto.ConnectionFailedError, match="is the service running"):
        client.stylize(PICTURE, style="mosaic")
    assert time.monotonic() - start < 30, "it waited, though nothing on this machine will answer"


def test_a_silent_server_is_not_asked_twice(connect):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and says nothing
        client = connect(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.1, retries=AT_ONCE)
        with pytest.raises(impasto.ServiceTimeoutError, match=r"was silent for 0\.1 s"):
            client.stylize(PICTURE, style="mosaic")
        with pytest.raises(impasto.DeadlineError) as caught:
            client.stylize(PICTURE, style="mosaic", deadline=0.05)
        assert (caught.value.code, caught.value.status) == ("deadline_exceeded", 0)


def test_the_service_is_told_the_deadline_and_no_try_goes_beyond_it(connect):
    with scripted(problem(503, "overloaded", Retry_After=30)) as server:
        client = connect(server.address, deadline=10)
        with pytest.raises(impasto.OverloadedError) as caught:  # at once: in 30 s it would be too late
            client.stylize(PICTURE, style="mosaic")
        assert caught.value.retry_after == 30
        (head, _), *others = server.requests
        assert not others
        milliseconds = int(httpx.URL(head.split()[1]).params["deadline_ms"])
        assert 5_000 < milliseconds <= 10_000
        with pytest.raises(impasto.OverloadedError):
            client.stylize(PICTURE, style="mosaic", deadline=2)
        assert int(httpx.URL(server.requests[1][0].split()[1]).params["deadline_ms"]) <= 2_000


def test_a_file_that_is_too_large_is_told_though_the_service_does_not_read_it(connect, address):
    with pytest.raises(impasto.BodyTooLargeError, match="expected at most 200000"):
        connect(address).stylize(bytes(50_000_000), style="mosaic")


def test_the_services_own_deadline(connect, address):
    large = encoded(picture(190, 200))
    with pytest.raises(impasto.DeadlineError) as caught:
        connect(address).upscale(large, factor=2, deadline=0.000_001)
    assert caught.value.parameter in {"deadline", "deadline_ms"}


def test_waits():
    retries = impasto.Retries(attempts=5, first_seconds=1, most_seconds=3, jitter=0.5, patience_seconds=60)

    def wait(attempt, failure):
        return {retries.wait_seconds(attempt, failure) for _ in range(50)}

    def full(status=503, **headers):
        return httpx.Response(status, headers={name.replace("_", "-"): str(value) for name, value in headers.items()})

    for attempt, (low, high) in enumerate([(1, 1.5), (2, 3), (3, 4.5), (3, 4.5)], 1):
        waits = wait(attempt, full())
        assert low <= min(waits) < max(waits) <= high
    assert wait(5, full()) == {None}
    assert 7 <= min(wait(1, full(Retry_After=7))) < max(wait(4, full(Retry_After=7))) <= 10.5
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    assert min(wait(1, full(429, Retry_After=soon))) > 15
    past = format_datetime(datetime.now(UTC) - timedelta(days=1), usegmt=True)
    assert wait(1, full(Retry_After=past)) == {0}
    assert wait(1, full(Retry_After=61)) == {None}
    assert min(wait(1, full(Retry_After="soon"))) >= 1
    assert wait(1, full(400)) == wait(1, full(404)) == wait(1, full(500)) == wait(1, full(504)) == {None}
    assert wait(1, httpx.ReadTimeout("slow")) == wait(1, httpx.UnsupportedProtocol("what")) == {None}
    assert None not in wait(1, httpx.ConnectError("refused")) | wait(1, httpx.RemoteProtocolError("cut"))
    with pytest.raises(ValueError, match="attempts = 0"):
        impasto.Retries(attempts=0)


def test_a_cancelled_call_closes_its_connection():
    async def run():
        with socket.create_server(("127.0.0.1", 0)) as silent:
            async with impasto.AsyncClient(f"http://127.0.0.1:{silent.getsockname()[1]}") as client:
                call = asyncio.create_task(client.stylize(PICTURE, style="mosaic"))
                connection, _ = await asyncio.to_thread(silent.accept)
                call.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await call
                with connection:
                    connection.settimeout(10)
                    while await asyncio.to_thread(connection.recv, 65536):
                        pass  # it ends: the other side has closed

    asyncio.run(run())


def test_a_key_is_sent_with_every_call_from_wherever_it_comes(connect, monkeypatch):
    with scripted(problem(401, "unauthorized")) as server:
        monkeypatch.setenv("IMPASTO_KEY", "from-the-environment")
        for given, sent in (
            ({}, "Bearer from-the-environment"),
            ({"api_key": "given"}, "Bearer given"),
            ({"api_key": "given", "headers": {"authorization": "Basic dTpw"}}, "Basic dTpw"),
            ({"api_key": ""}, None),
        ):
            with pytest.raises(impasto.UnauthorizedError):
                connect(server.address, **given).models()
            lines = server.requests[-1][0].splitlines()
            assert [line.partition(": ")[2] for line in lines if line.lower().startswith("authorization:")] == [
                each for each in (sent,) if each
            ]


@pytest.mark.parametrize("key", ["two words", "line\nbreak", "\u00fcmlaut"])
def test_a_key_that_no_header_can_hold_is_refused_and_not_shown(connect, key):
    with pytest.raises(ValueError, match="the key has blanks") as caught:
        connect("http://127.0.0.1:1", api_key=key)
    assert key not in str(caught.value)


def test_a_quota_is_waited_for_as_the_service_says(connect):
    with scripted(
        problem(429, "quota_exceeded", Retry_After=0), problem(429, "quota_exceeded", quota="pixels")
    ) as server:
        with pytest.raises(impasto.QuotaError) as caught:
            connect(server.address, retries=impasto.Retries(attempts=2, first_seconds=0)).models()
        assert caught.value.facts["quota"] == "pixels"
        assert len(server.requests) == 2
