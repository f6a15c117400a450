"""Ten thousand requests of which nearly all are wrong, broken off or slow, then a good one. `make soak`."""

import random
import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.conftest import encoded, picture
from tests.end_to_end.test_serve import address_in, service
from tests.keys import ALICE, GONE, write_keys
from tests.soak.test_engine import memory_bytes, metrics

pytestmark = pytest.mark.soak

ROOT = Path(__file__).parent.parent.parent
REQUESTS, CLIENTS = 10_000, 8
PICTURE = encoded(picture(40, 40), "jpeg")


def request(path="/upscale?factor=2", key=ALICE, body=PICTURE, length=None, more=""):
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-API-Key: {key}\r\n{more}"
    return f"{head}Content-Length: {len(body) if length is None else length}\r\n\r\n".encode("latin-1") + body


KINDS = {
    "good": lambda _: request(),
    "wrong key": lambda _: request(key="wrong"),
    "expired key": lambda _: request(key=GONE),
    "unknown style": lambda r: request(f"/stylize?style={r.random()}"),
    "doubled": lambda _: request("/upscale?factor=2&factor=4"),
    "no picture": lambda r: request(body=r.randbytes(500)),
    "cut picture": lambda r: request(body=PICTURE[: r.randrange(1, len(PICTURE))]),
    "mutated picture": lambda r: request(body=PICTURE[:300] + r.randbytes(40) + PICTURE[340:]),
    "announced too large": lambda _: request(length=10**12),
    "left in the body": lambda _: request(length=10**6),
    "left in the head": lambda r: request()[: r.randrange(1, 60)],
    "large head": lambda _: request(more=f"X: {'x' * 40_000}\r\n"),
    "no HTTP": lambda r: r.randbytes(200) + b"\r\n\r\n",
    "nothing": lambda _: b"",
}
HANGS_UP = {"announced too large", "left in the body", "left in the head", "nothing"}


def status_of(address, kind, data):
    """Return the status; 0 if either side closed the connection."""
    try:
        with socket.create_connection(address, timeout=60) as connection:
            connection.sendall(data)
            if kind in HANGS_UP:
                return 0
            answer = connection.recv(65536)
            while connection.recv(65536):
                pass
            return int(answer.split()[1]) if answer else 0
    except ConnectionError:
        return 0


def test_ten_thousand_requests_of_which_most_are_wrong_and_then_a_good_one(tmp_path):
    generator = random.Random(0)
    kinds = [generator.choice(list(KINDS)) for _ in range(REQUESTS)]
    sent = [(kind, KINDS[kind](generator)) for kind in kinds]
    settings = {"checkpoints": ROOT / "checkpoints", "keys_file": write_keys(tmp_path / "keys"), "head_seconds": 2}
    with service(**settings) as (process, lines):
        url = address_in(lines[0])
        host, port = url.removeprefix("http://").split(":")
        with (
            httpx.Client(base_url=url, trust_env=False, timeout=60, headers={"X-API-Key": ALICE}) as client,
            ThreadPoolExecutor(CLIENTS) as clients,
        ):
            list(clients.map(lambda each: status_of((host, int(port)), *each), sent[:1000]))  # warm
            before = memory_bytes(process, client)
            statuses = list(clients.map(lambda each: status_of((host, int(port)), *each), sent))
            after = memory_bytes(process, client)
            seen = metrics(client)
        heard = Counter(zip(kinds, statuses, strict=True))
        print(
            "\n".join(
                f"{kind:22} {status or 'disconnected':>12} {count:6}" for (kind, status), count in sorted(heard.items())
            )
        )
        print(f"memory {before} bytes after 1,000, {after} after {REQUESTS}")
        assert {status for kind, status in heard if kind == "good"} <= {200, 503, 429}
        assert not [each for each in heard if each[1] >= 500 and each[1] != 503]
        assert after < 1.05 * before
        assert seen["impasto_requests_in_flight"] == 0
        assert seen["impasto_queue_predicted_seconds"] == 0
        assert seen["impasto_connections"] == 1
