"""Whatever stands in a request, none of it gets into a path, a log line or a metric's label as it is."""

import json
import subprocess
import sys
from urllib.parse import quote

import httpx
import pytest

from tests.conftest import encoded, picture
from tests.end_to_end.test_serve import ROOT, address_in, environment

MARK = "hostile7"
FORGED = '{"level": "INFO", "message": "forged"}'
WORDS = {
    "control characters": f"{MARK}\r\n{FORGED}\x1b[31m\x1b]0;title\x07\u2028\u0085\u202e\x00",
    "a path and quotes": f'../../..%2f../etc/passwd/{MARK}"}} 1\nimpasto_forged_total 1',
    "long": MARK * 1000,
}
PARAMETERS = ("style", "factor", "strength", "preserve_color", "stroke", "max_side", "detail", "format", "quality",
    "lossless", "profile", "metadata", "deadline_ms", MARK)  # fmt: skip
HEADERS = ("Accept", "Accept-Encoding", "Authorization", "Content-Encoding", "Content-Type", "Cookie", "Expect",
    "Forwarded", "Host", "Idempotency-Key", "If-None-Match", "Inference-Header-Content-Length", "Origin", "Prefer",
    "Referer", "Request-Timeout", "Upgrade", "User-Agent", "X-API-Key", "X-Forwarded-For",
    "X-Request-ID", MARK)  # fmt: skip
PATHS = ("/{}", "/web/{}", "/models/{}/mosaic", "/models/stylize/{}", "/models/stylize/{}/thumbnail", "/jobs/{}",
    "/jobs/{}/events", "/jobs/{}/result", "/v2/models/{}", "/v2/models/{}/versions/1",
    "/v2/models/upscale.x2/versions/{}", "/v2/models/{}/infer", "/docs/{}", "/stylize/{}")  # fmt: skip


@pytest.fixture(scope="module")
def process(checkpoints, tmp_path_factory):
    """(address, path of its log) of a service as a process, which logs all that it ever logs."""
    folder = tmp_path_factory.mktemp("hostile")
    names = [f"IMPASTO_{name}" for name in ("CHECKPOINTS", "LOG_LEVEL")]
    settings = environment(port=0, device="cpu", precision="fp32", max_batch_items=1, loading="lazy")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "service"],
            env=settings | dict(zip(names, (str(checkpoints), "debug"), strict=True)),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            yield address_in(process.stdout.readline()), folder / "log"
        finally:
            process.kill()
            process.communicate()


def requests(client, word):
    """One for each place of a request that a word can stand in."""
    body, encoded_word = encoded(picture(5, 5)), quote(word, safe="")
    for name in PARAMETERS:
        for path, own in (("/stylize", "style=mosaic"), ("/upscale", "factor=2")):
            yield client.build_request("POST", f"{path}?{own}&{quote(name)}={encoded_word}", content=body)
    for pattern in PATHS:
        for method in ("GET", "POST"):
            yield client.build_request(method, pattern.format(encoded_word), content=body)
    value = word.translate(dict.fromkeys(map(ord, "\r\n\x00"))).encode()  # which no client would send
    for name in HEADERS:
        headers = {name: value}
        yield client.build_request("POST", "/upscale?factor=2", content=body, headers=headers)
    yield client.build_request("POST", "/upscale?factor=2", files={"image": (word, body)})
    yield client.build_request("POST", "/upscale?factor=2", files={word: ("a", body)})
    yield client.build_request("POST", "/v2/models/upscale.x2/infer", json={word: word, "inputs": [{"name": word}]})
    yield client.build_request(MARK.upper(), "/stylize")


@pytest.mark.parametrize("name", WORDS)
def test_no_word_of_a_request_gets_where_it_could_do_harm(process, name):
    address, log = process
    before = log.stat().st_size
    with httpx.Client(base_url=address, timeout=30, trust_env=False) as client:
        statuses = []
        for request in requests(client, WORDS[name]):
            response = client.send(request)
            statuses.append(response.status_code)
            assert response.status_code < 500, (request.url, response.text)
            assert "root:" not in response.text
            assert all(MARK not in key and "\x1b" not in key + value for key, value in response.headers.items())
        metrics = client.get("/metrics").text
    assert MARK not in metrics.lower()
    assert "forged" not in metrics
    lines = log.read_bytes()[before:].decode().splitlines()
    notes = [json.loads(line) for line in lines]
    assert sum(note["message"] == "request" for note in notes) >= len(statuses) - len(HEADERS), "the log was looked at"
    assert not [line for line in lines if MARK in line.lower() or "\x1b" in line or "forged" in line]
    assert [path.name for path in log.parent.iterdir()] == ["log"]
