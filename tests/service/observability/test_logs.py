"""The log of the service, as its standard error shows it."""

import io
import json
import logging
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from service.observability.logs import Json, Lines, Text
from tests.conftest import encoded, picture
from tests.end_to_end.test_serve import ROOT, address_in, environment

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@contextmanager
def started(checkpoints: Path, stderr: object, **settings: object) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "service"],
        env=environment(checkpoints=checkpoints, port=0, device="cpu", precision="fp32", max_batch_items=1, **settings),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )
    try:
        yield process, address_in(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


def asked_and_stopped(process: "subprocess.Popen[str]", address: str) -> list[httpx.Response]:
    """What a good request, a bad one, and one that tries to write lines of its own are answered."""
    headers = {"X-Request-ID": "mine", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "Authorization": "Bearer hush"}
    with httpx.Client(base_url=address, timeout=60, trust_env=False, headers=headers) as client:
        answers = [
            client.post("/stylize?style=mosaic", content=encoded(picture(40, 60))),
            client.post("/upscale?factor=2", content=b"hush"),
            client.post("/stylize?style=mosaic", content=encoded(picture()), headers={"Prefer": "respond-async"}),
            client.get("/no%0ahush%1b[31m", headers={"X-Request-ID": "hush hush"}),
        ]
        assert "impasto_log_lines_lost" in client.get("/metrics").text
    process.terminate()
    assert process.wait(30) == 0
    return answers


@pytest.mark.long
def test_a_line_a_request_with_its_ids_and_nothing_of_its_content(checkpoints):
    with started(checkpoints, subprocess.PIPE) as (process, address):
        answers = asked_and_stopped(process, address)
        text = process.stderr.read()
    lines = [json.loads(line) for line in text.splitlines()]
    assert all(re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"]) for line in lines)
    good, bad, _, unknown = [line for line in lines if line["message"] == "request"]
    expected = {"level": "INFO", "request_id": "mine", "trace_id": TRACE, "method": "POST", "route": "/stylize"}
    assert good.items() >= (expected | {"status": 200, "pixels_in": 2400, "pixels_out": 2400}).items()
    assert 0 < good["seconds"] < 60
    assert bad.items() >= {"route": "/upscale", "status": 415, "refused": "unsupported_image"}.items()
    assert answers[1].json()["request_id"] == answers[1].headers["x-request-id"] == "mine"
    assert (unknown["route"], unknown["status"]) == ("unmatched", 404)
    assert re.fullmatch(r"[0-9a-f]{32}", unknown["request_id"])
    [job] = [line for line in lines if line["message"] == "job"]
    assert job.items() >= {"request_id": "mine", "trace_id": TRACE, "state": "done", "refused": None}.items()
    assert answers[2].json()["id"] not in text  # the ID is sufficient to fetch the result
    assert "hush" not in text


def test_text_for_a_terminal_is_one_line_a_record():
    probe = "import logging; from service.observability.logs import configure_logs, request_id\n"
    probe += "configure_logs('info', 'text')\n"
    probe += "request_id.set('mine'); logging.getLogger('some.name').info('said', extra={'status': 200, 'why': 'a b'})"
    result = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=True)
    time, _, rest = result.stderr.partition(" ")
    assert re.fullmatch(r"20\S+Z", time)
    assert rest == 'info some.name said status=200 why="a b" request_id=mine\n'


def record(message="hello", **more):
    made = logging.makeLogRecord({"msg": message, "name": "test", "levelname": "INFO", "levelno": logging.INFO})
    vars(made).update(more)
    return made


class Blocked(io.StringIO):
    """A stream that waits for a reader."""

    def __init__(self):
        super().__init__()
        self.go = threading.Event()

    def write(self, text):
        self.go.wait(10)
        return super().write(text)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_costs_lines_and_no_request():
    """A service with such a log is in tests/soak."""
    full = Path("/dev/full").open("w")  # noqa: SIM115  # closing it raises
    lines = Lines(full)
    lines.setFormatter(Text())
    for number in range(200):
        lines.emit(record(number=number))
    lines.flush()
    assert lines.lost == 200
    with pytest.raises(OSError, match="No space left"):
        full.close()


def test_a_closed_stream_costs_lines_too():
    stream = io.StringIO()
    lines = Lines(stream)
    lines.setFormatter(Text())
    stream.close()
    lines.emit(record())
    lines.flush()
    assert lines.lost == 1


def test_log_lines_that_cannot_be_written_are_lost_counted_and_reported():
    stream = Blocked()
    lines = Lines(stream)
    lines.setFormatter(Text())
    for number in range(10_500):
        lines.emit(record(number=number))
    assert 498 <= lines.lost <= 500  # one is being written
    stream.go.set()
    lines.flush()
    written = stream.getvalue().splitlines()
    assert len([line for line in written if "hello" in line]) == 10_500 - lines.lost
    lines.emit(record("after"))
    lines.flush()
    assert any(line.endswith(f"log lines were lost lines={lines.lost}") for line in stream.getvalue().splitlines())


@pytest.mark.parametrize("formatter", [Text(), Json("%(message)s")])
def test_nothing_that_is_logged_can_begin_a_line_or_colour_one(formatter):
    evil = "a\nb\r\x1b[31mred\u2028\x85\x9b"
    try:
        raise ValueError(evil)
    except ValueError:
        told = formatter.format(record(evil, value=evil, exc_info=sys.exc_info()))
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028]", told)
    lines = told.split("\n")
    assert all(line.startswith("  ") for line in lines[1:])
