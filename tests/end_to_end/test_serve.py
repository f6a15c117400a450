"""`python -m service` as a process: what it prints, how it refuses, how it stops."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from nets.super_resolution import SuperResolutionConfig, SuperResolutionNet
from service.cli.sockets import bind
from tests.conftest import decoded, encoded, picture, save_net, seeded, tiny_upscaler
from tests.service.faults import LOST, PLAIN, faulty_picture

ROOT = Path(__file__).parent.parent.parent
PICTURE = encoded(picture(240, 300))


def environment(**settings: object) -> dict[str, str]:
    """This process's environment with IMPASTO_* settings and none of the user's own."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("IMPASTO_")}
    return kept | {f"IMPASTO_{key.upper()}": str(value) for key, value in settings.items()}


@contextmanager
def service(module: str = "service", **settings: object) -> Iterator[tuple["subprocess.Popen[str]", list[str]]]:
    """A running service and the lines that it printed once it listened."""
    given = {"port": 0, "log_level": "warning", "precision": "fp32", "device": "cpu", "max_batch_items": 1} | settings
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", module],
        env=environment(**given),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        lines = [process.stdout.readline().rstrip()]
        while lines[-1] and not lines[-1].startswith("  try"):
            lines.append(process.stdout.readline().rstrip())
        assert process.poll() is None, lines
        yield process, lines
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def large_upscaler(tmp_path_factory):
    """A network that takes a second a picture, so that requests are still in flight when the test looks."""
    folder = tmp_path_factory.mktemp("large")
    save_net(folder, "x4", seeded(SuperResolutionNet(SuperResolutionConfig(factor=4, width=48, residual_blocks=8)), 0))
    return folder


def address_in(line: str) -> str:
    return re.search(r"listens on (\S+)", line)[1]


def upscale(address: str) -> httpx.Response:
    return httpx.post(f"{address}/upscale?factor=4", content=PICTURE, timeout=120, trust_env=False)


def in_flight(address: str) -> int:
    return int(
        float(
            re.search(
                r"^impasto_requests_in_flight (\S+)",
                httpx.get(f"{address}/metrics", trust_env=False).text,
                re.MULTILINE,
            )[1]
        )
    )


def test_it_prints_its_address_and_what_to_try(tmp_path):
    save_net(tmp_path, "x4", tiny_upscaler(4))
    with service(checkpoints=tmp_path) as (_, lines):
        address = address_in(lines[0])
        assert httpx.get(f"{address}/readyz", trust_env=False).status_code == 200
        assert re.fullmatch(r"Impasto 0\.1\.0 listens on \S+ \(ready after \d+\.\d s\)", lines[0])
        told = dict(line.split(maxsplit=1) for line in lines[1:])
        assert told["page"] == f"{address}/"
        assert told["factors"] == "4"
        assert told["device"].startswith("cpu in fp32 (this CPU has ")
        photograph = "docs/images/photographs/coffee.jpg"
        assert told["try"] == f"curl --fail-with-body -F image=@{photograph} '{address}/upscale?factor=4' -o large.jpg"


def test_sigterm_answers_everything_accepted_and_exits_with_zero(large_upscaler):
    with service(checkpoints=large_upscaler) as (process, lines), ThreadPoolExecutor(4) as clients:
        address = address_in(lines[0])
        answers = [clients.submit(upscale, address) for _ in range(4)]
        while in_flight(address) < 4:
            assert not any(answer.done() for answer in answers), "too quick for this test"
        process.send_signal(signal.SIGTERM)
        assert [decoded(answer.result().content).shape for answer in answers] == [(960, 1200, 3)] * 4
        assert process.wait(60) == 0


@pytest.mark.long
def test_requests_that_outlast_the_drain_get_503(large_upscaler):
    with (
        service(checkpoints=large_upscaler, drain_seconds=1) as (process, lines),
        ThreadPoolExecutor(8) as clients,
    ):
        address = address_in(lines[0])
        large = encoded(picture(480, 600))
        url = f"{address}/upscale?factor=4&format=jpeg"
        answers = [clients.submit(httpx.post, url, content=large, timeout=60, trust_env=False) for _ in range(8)]
        while in_flight(address) < 8:
            assert not any(answer.done() for answer in answers), "too quick for this test"
        process.send_signal(signal.SIGTERM)
        responses = [answer.result() for answer in answers]
        late = [response for response in responses if response.status_code != 200]
        assert late
        assert {(response.status_code, response.json()["code"]) for response in late} == {(503, "unavailable")}
        assert all(response.headers["retry-after"] for response in late)
        assert process.wait(60) == 0


def test_a_full_service_says_when_to_come_back_and_loses_nothing(large_upscaler):
    with service(checkpoints=large_upscaler, max_requests=2) as (_, lines), ThreadPoolExecutor(6) as clients:
        address = address_in(lines[0])
        responses = list(clients.map(lambda _: upscale(address), range(6)))
        refused = [response for response in responses if response.status_code == 503]
        assert refused
        assert {response.status_code for response in responses} == {200, 503}
        for response in refused:
            assert 1 <= int(response.headers["retry-after"]) <= 60
            assert response.json()["code"] == "overloaded"
        assert in_flight(address) == 0
        assert upscale(address).status_code == 200


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"port": "eighty"}, "impasto: IMPASTO_PORT='eighty'"),
        ({"checkpoints": "/nowhere"}, "impasto: IMPASTO_CHECKPOINTS=/nowhere: no such folder"),
        ({"device": "tpu"}, "impasto: IMPASTO_DEVICE='tpu'"),
    ],
)
def test_what_stops_the_start_is_one_line_and_exit_code_two(settings, message):
    result = subprocess.run(
        [sys.executable, "-m", "service"],
        env=environment(log_level="error") | environment(**settings),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith(message)
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("listens", [True, False], ids=["a server listens", "a service is still loading"])
@pytest.mark.parametrize("setting", ["port", "probe_port"])
def test_a_port_that_is_taken_is_said_before_torch_is_loaded(large_upscaler, setting, listens):
    taken = bind("127.0.0.1", 0)[0]
    if listens:
        taken.listen()
    port = taken.getsockname()[1]
    without_torch = (
        "import sys; sys.modules['torch'] = None; from service.cli.serve import serve_or_exit; serve_or_exit()"
    )
    result = subprocess.run(
        [sys.executable, "-c", without_torch],
        env=environment(**{"checkpoints": large_upscaler, "port": 0, setting: port}),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    taken.close()
    assert (result.returncode, result.stdout) == (4, "")
    expected = {
        "port": f"impasto: port {port} is taken: PORT=9000 make serve, or impasto serve --port 9000\n",
        "probe_port": f"impasto: IMPASTO_PROBE_PORT={port}: this port is taken; choose another one\n",
    }
    assert result.stderr == expected[setting]


def test_a_port_is_free_again_as_soon_as_the_service_has_ended(tmp_path):
    """A connection that the service closed is in TIME_WAIT for a minute, and no obstacle."""
    save_net(tmp_path, "x2", tiny_upscaler(2))
    with service(checkpoints=tmp_path) as (process, lines):
        port = int(address_in(lines[0]).rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            while client.recv(1000):
                pass
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    again = bind("127.0.0.1", port)[0]
    again.listen()
    again.close()


@pytest.mark.long
def test_a_lost_device_ends_the_process_with_an_exit_code_of_its_own(tmp_path):
    """Requests in flight are answered first; the supervisor then starts another process."""
    save_net(tmp_path, "x2", tiny_upscaler(2))
    with service("tests.service.faults", checkpoints=tmp_path) as (process, lines):
        url = f"{address_in(lines[0])}/upscale?factor=2"
        good, lost = (encoded(faulty_picture(code)) for code in (PLAIN, LOST))
        assert httpx.post(url, content=good, trust_env=False).status_code == 200
        response = httpx.post(url, content=lost, timeout=30, trust_env=False)
        assert (response.status_code, response.json()["code"]) == (503, "unavailable")
        assert process.wait(30) == 70


@pytest.mark.long
def test_sigterm_finishes_accepted_jobs_and_their_answers_can_still_be_fetched(large_upscaler):
    with service(checkpoints=large_upscaler) as (process, lines):
        address = address_in(lines[0])
        with httpx.Client(base_url=address, timeout=60, trust_env=False) as client:
            asynchronous = {"Prefer": "respond-async"}
            posted = [client.post("/upscale?factor=4", content=PICTURE, headers=asynchronous) for _ in range(3)]
            jobs = [response.headers["location"] for response in posted]
            assert client.get(jobs[-1]).json()["state"] == "queued", "too quick for this test"
            process.send_signal(signal.SIGTERM)
            while client.get("/readyz").status_code == 200:
                pass
            refused = client.post("/upscale?factor=4", content=PICTURE, headers=asynchronous)
            assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
            for job in jobs:
                with httpx.stream("GET", f"{address}{job}/events", timeout=60, trust_env=False) as events:
                    assert "event: done" in events.read().decode()
                answer = httpx.get(f"{address}{job}/result", trust_env=False)
                assert decoded(answer.content).shape == (960, 1200, 3)
            assert process.wait(10) == 0
