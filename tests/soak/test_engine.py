"""The engine for minutes instead of seconds, over the bundled checkpoints, as a process of its own. `make soak`."""

import re
import shutil
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.conftest import encoded, picture, save_net, tiny_style_net
from tests.end_to_end.test_serve import address_in, service

pytestmark = pytest.mark.soak

ROOT = Path(__file__).parent.parent.parent
KEY = "a key of the soak, long enough"
SIZES = [(120, 160), (256, 256), (300, 450), (64, 600)]


def client_of(address):
    return httpx.Client(base_url=address, timeout=120, trust_env=False)


def metrics(client):
    return {
        line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1])
        for line in client.get("/metrics").text.splitlines()
        if line and not line.startswith("#")
    }


def memory_bytes(process, client):
    """Resident when nothing has been asked for a while: free memory is given back after 10 s, with the next answer."""
    time.sleep(11)
    assert client.post("/upscale?factor=2", content=encoded(picture(200, 200), "jpeg")).status_code == 200
    time.sleep(1)  # it is given back after the answer
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024


@pytest.fixture
def bundled(tmp_path):
    shutil.copytree(ROOT / "checkpoints", tmp_path / "checkpoints")
    return tmp_path / "checkpoints"


def test_a_hundred_hot_swaps_under_load_fail_no_request(bundled):
    networks = [tiny_style_net(seed) for seed in range(2)]
    save_net(bundled, "swapped", networks[0])
    bodies = [encoded(picture(*size), "jpeg") for size in SIZES]
    statuses, stop = [], threading.Event()
    settings = {"checkpoints": bundled, "admin_key": KEY, "watch_seconds": 0}  # or the watch takes what reload should
    with service(**settings) as (process, lines), client_of(address_in(lines[0])) as client:

        def press(number):
            for i in range(10**9):
                if stop.is_set():
                    return
                style = ("swapped", "mosaic")[i % 2]
                statuses.append(client.post(f"/stylize?style={style}", content=bodies[(i + number) % 4]).status_code)

        threads = [threading.Thread(target=press, args=(number,)) for number in range(4)]
        before = memory_bytes(process, client)
        for thread in threads:
            thread.start()
        for swap in range(100):
            save_net(bundled, "swapped", networks[(swap + 1) % 2])
            response = client.post("/models/reload", headers={"Authorization": f"Bearer {KEY}"})
            assert response.json()["taken"] == ["stylize/swapped.safetensors"]
        stop.set()
        for thread in threads:
            thread.join()
        assert memory_bytes(process, client) < 1.25 * before
    print(f"{len(statuses)} requests during 100 swaps")
    assert set(statuses) == {200}


def test_two_hundred_disconnected_clients_cost_no_further_forward_pass(bundled):
    body = encoded(picture(600, 800), "jpeg")
    request = f"POST /upscale?factor=2 HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    with service(checkpoints=bundled, max_requests=300, max_pixels_in_flight=10**9) as (_, lines):
        address = address_in(lines[0])
        host, port = address.removeprefix("http://").split(":")
        with client_of(address) as client:
            connections = [socket.create_connection((host, int(port))) for _ in range(200)]
            for connection in connections:
                connection.sendall(request)
            while metrics(client)["impasto_requests_in_flight"] < 200 - 5:
                time.sleep(0.05)
            begun = metrics(client)["impasto_forward_passes_total"]
            for connection in connections:
                connection.close()
            while metrics(client)["impasto_requests_in_flight"] > 0:
                time.sleep(0.05)
            after = metrics(client)
            passes = after["impasto_forward_passes_total"]
            print(f"{begun} passes were begun before 200 clients disconnected, {passes} at the end")
            assert after["impasto_forward_passes_total"] - begun <= 3  # begun while the connections closed
            assert after['impasto_rejected_total{reason="client_left"}'] >= 199  # one may have been answered
            assert after['impasto_queue_pixels{model="upscale/x2"}'] == 0
            assert client.post("/upscale?factor=2", content=encoded(picture())).status_code == 200


def test_sigterm_under_load_answers_every_accepted_request(bundled):
    """A client that was not let in sees a refusal or a connection that never was; nobody's answer is cut off."""
    bodies = [encoded(picture(*size), "jpeg") for size in SIZES]
    outcomes, stopping = [], threading.Event()
    with service(checkpoints=bundled) as (process, lines):
        address = address_in(lines[0])

        def press(number):
            for i in range(10**9):
                try:
                    response = httpx.post(
                        f"{address}/stylize?style=mosaic",
                        content=bodies[(i + number) % 4],
                        timeout=120,
                        trust_env=False,
                    )
                    outcomes.append(response.status_code)
                except (httpx.ConnectError, httpx.WriteError):
                    outcomes.append("never let in")
                except httpx.HTTPError as error:
                    outcomes.append(repr(error))
                if stopping.is_set():
                    return

        with ThreadPoolExecutor(16) as clients:
            pressing = [clients.submit(press, number) for number in range(16)]
            time.sleep(10)
            stopping.set()
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
            for each in pressing:
                each.result()
    print(f"{len(outcomes)} requests: { {outcome: outcomes.count(outcome) for outcome in set(outcomes)} }")
    assert set(outcomes) <= {200, 503, "never let in"}
    assert outcomes.count(200) > 16


def test_memory_is_flat_over_many_sizes(bundled):
    """Sizes never seen before must not be remembered for ever (pytorch #104701, #27971)."""
    generator = np.random.default_rng(0)
    with service(checkpoints=bundled) as (process, lines), client_of(address_in(lines[0])) as client:
        seen = []
        for i in range(600):
            height, width = generator.integers(40, 400, 2)
            query = "/stylize?style=wave" if i % 3 else "/upscale?factor=2"
            assert client.post(query, content=encoded(picture(height, width), "jpeg")).status_code == 200
            if i in {299, 599}:
                seen.append(memory_bytes(process, client))
        print(f"memory after 300 and 600 sizes: {seen}")
        assert seen[1] < 1.05 * seen[0]
