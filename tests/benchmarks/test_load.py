"""What the figures of benchmarks/serving.py rest on: arrivals, percentiles, deadlines, patience."""

import asyncio
import io
import math

import numpy as np
import pytest
import uvicorn
from arms import Arm
from fastapi import FastAPI, Request, Response
from load import Clients, Sample, closed, in_time, opened, poisson, quantile
from load import Request as Sent

from tests.conftest import listening


def sample(seconds: float, status: int = 200, megapixels: float = 1.0) -> Sample:
    return Sample(0.0, seconds, status, megapixels, {})


def test_arrivals_are_the_same_for_the_same_seed_and_others_for_another():
    first = list(poisson(5.0, 60.0, seed=3))
    assert first == list(poisson(5.0, 60.0, seed=3))
    assert first != list(poisson(5.0, 60.0, seed=4))
    assert first == sorted(first)
    assert all(0 < moment <= 60 for moment in first)


def test_arrivals_are_as_many_as_asked_for_and_their_gaps_exponential():
    gaps = np.diff(list(poisson(50.0, 400.0, seed=0)))
    assert len(gaps) == pytest.approx(20_000, rel=0.03)
    assert gaps.mean() == pytest.approx(0.02, rel=0.03)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)  # of an exponential, and of no regular arrival
    assert np.mean(gaps > 0.02) == pytest.approx(math.exp(-1), abs=0.02)


def test_percentiles_are_of_what_was_answered():
    samples = [sample(seconds) for seconds in (1.0, 2.0, 3.0, 4.0, 5.0)] + [sample(99.0, 503), sample(99.0, 0)]
    assert quantile(samples, 0.5) == 3.0
    assert quantile(samples, 0.95) == pytest.approx(4.8)
    assert math.isnan(quantile([sample(1.0, 503)], 0.5))


def test_in_time_is_answered_and_not_later_than_the_deadline():
    samples = [sample(2.9), sample(3.0), sample(3.1), sample(0.1, 503), sample(3.0, 0)]
    assert in_time(samples, 3.0) == samples[:2]


@pytest.fixture(scope="module")
def echo():
    app = FastAPI()

    @app.post("/echo")
    async def echo(request: Request) -> Response:
        return Response(await request.body(), media_type=request.headers["content-type"])

    @app.post("/never")
    async def never() -> None:
        await asyncio.sleep(0.5)

    with listening(uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, access_log=False))) as address:
        yield address


def test_a_closed_loop_sends_whole_rounds_and_keeps_the_answers(echo):
    requests = [Sent("/echo", bytes([i]), 1.0, {"content-type": "x/y"}) for i in range(3)]
    samples = closed(echo, requests, concurrency=4, seconds=0, count=9, clients=Clients(keep=True))
    assert sorted(s.which for s in samples) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert all(s.answer == bytes([s.which]) and s.headers["content-type"] == "x/y" for s in samples)
    assert all(s.answer == b"" for s in closed(echo, requests, 1, 0, count=1))


def test_a_client_with_a_short_timeout_disconnects(echo):
    samples = opened(echo, [Sent("/never", b"", 1.0)], 40.0, 0.2, clients=Clients(patience=0.1))
    assert len(samples) == len(list(poisson(40.0, 0.2, seed=0))) > 0
    assert {s.status for s in samples} == {0}
    assert in_time(samples, 3.0) == []


def test_load_goes_to_this_machine_unless_told_otherwise():
    with pytest.raises(AssertionError, match="this machine only"):
        closed("http://192.0.2.1", [Sent("/", b"", 1.0)], 1, 0, count=1)


def test_a_form_has_the_picture_in_it():
    arm = Arm("any", "any", (), "/x", deadline="&deadline_ms=3000")
    request = arm.request(b"picture", 1.0)
    assert b'name="image"' in request.body
    assert b"picture" in request.body
    assert request.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert arm.request(b"picture", 1.0, hurried=True).target == "/x&deadline_ms=3000"
    assert io.BytesIO(request.body).read().count(b"\r\n\r\n") == 1
