"""Requests in shapes that other servers accept: targets, multipart forms, content codings, names of formats."""

import gzip
import socket
import urllib.error
import urllib.parse
import urllib.request
import zlib
from email.utils import encode_rfc2231

import httpx
import numpy as np
import pytest

from service.app import create_app
from service.models.registry import load_registry
from service.settings import Settings
from tests.conftest import decoded, encoded, picture, running
from tests.service.http.test_bad_input import refused

PNG = encoded(picture(12, 16))
FORM = "multipart/form-data; boundary=XX"
NAMED = 'name="image"; filename="a.png"'


def form(disposition=NAMED, line_end="\r\n", before="", after_boundary="", end="--"):
    head = f"{before}--XX{after_boundary}{line_end}Content-Disposition: form-data; {disposition}{line_end}"
    return (
        f"{head}Content-Type: image/png{line_end}{line_end}".encode() + PNG + f"{line_end}--XX{end}{line_end}".encode()
    )


def exchange(address, head, body=b""):
    """Send bytes, and return the status and the body of the response."""
    parts = urllib.parse.urlsplit(address)
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as connection:
        connection.sendall(head.encode() + body)
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, rest = received.partition(b"\r\n\r\n")
    return int(head.split()[1]), head, rest


@pytest.mark.parametrize(
    "body",
    {
        "only filename*": form(f'name="image"; filename*={encode_rfc2231("bild-ä.png", "utf-8")}'),
        "no file name": form('name="image"'),
        "line feeds alone": form(line_end="\n"),
        "a preamble": form(before="This is a preamble.\r\n"),
        "padding after the boundary": form(after_boundary="  \t"),
        "an epilogue": form() + b"this is for nobody\r\n",
        "another field": form('name="title"\r\n\r\nholiday\r\n--XX\r\nContent-Disposition: form-data; ' + NAMED),
    }.items(),
    ids=lambda item: item[0],
)
def test_forms_that_are_unusual_and_clear_are_accepted(client, body):
    response = client.post("/upscale?factor=1", content=body[1], headers={"Content-Type": FORM})
    assert response.status_code == 200, response.text
    assert np.array_equal(decoded(response.content), decoded(PNG))


@pytest.mark.parametrize(
    "data",
    {"ends in CR": PNG + b"\r", "ends in CRLF": PNG + b"\r\n", "has the boundary inside": PNG + b"--XX" + PNG}.items(),
    ids=lambda item: item[0],
)
def test_the_bytes_of_a_part_are_untouched(client, data):
    files = {"image": ("a.png", data[1])}
    sent = client.post("/upscale?factor=1", files=files)
    raw = client.post("/upscale?factor=1", content=data[1])
    assert sent.headers["etag"] == raw.headers["etag"]  # the tag depends on every byte


def test_only_the_name_of_the_file_comes_from_a_part(client):
    response = client.post(
        "/upscale?factor=1",
        content=form("name=\"image\"; filename*=utf-8''holiday.png"),
        headers={"Content-Type": FORM},
    )
    assert response.headers["content-disposition"] == 'inline; filename="holiday-x1.png"'


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (form(end=""), "closing boundary"),
        (form('name="photo"'), "the fields ['photo']"),
        (form() + form(), "parts in the field 'image'"),
        (b"--XX\r\nContent-Type: image/png\r\n\r\n" + PNG + b"\r\n--XX--\r\n", "Content-Disposition"),
        (b"".join(form(f'name="f{i}"', end="") for i in range(12)), "more than 10 parts"),
    ],
)
def test_forms_that_are_unclear_are_refused(client, body, detail):
    if detail.startswith("parts"):
        body = form(end="").removesuffix(b"--XX\r\n") + form()
    response = client.post("/upscale?factor=1", content=body, headers={"Content-Type": FORM})
    problem = refused(response, 422, "invalid_body")
    assert detail in problem["detail"]
    assert problem["parameter"] == "image"


@pytest.mark.parametrize(
    ("coding", "compress"),
    [("gzip", gzip.compress), ("x-gzip", gzip.compress), ("GZIP", gzip.compress), ("deflate", zlib.compress)],
)
def test_a_compressed_body_is_decompressed(client, coding, compress):
    headers = {"Content-Encoding": coding}
    response = client.post("/upscale?factor=1", content=compress(PNG), headers=headers)
    assert response.status_code == 200, response.text
    assert np.array_equal(decoded(response.content), decoded(PNG))
    sent = client.post("/upscale?factor=1", content=compress(form()), headers={**headers, "Content-Type": FORM})
    assert sent.status_code == 200, sent.text


def test_what_comes_out_of_a_content_coding_is_bounded(client):
    bomb = gzip.compress(bytes(50_000_000))  # 49 kB, and the limit is 200 kB
    response = client.post("/upscale?factor=1", content=bomb, headers={"Content-Encoding": "gzip"})
    assert "come out of Content-Encoding gzip" in refused(response, 413, "body_too_large")["detail"]


@pytest.mark.parametrize("body", [gzip.compress(PNG)[:-6], PNG, gzip.compress(PNG) + b"more"])
def test_a_damaged_content_coding_is_refused(client, body):
    response = client.post("/upscale?factor=1", content=body, headers={"Content-Encoding": "gzip"})
    assert refused(response, 422, "invalid_body")["parameter"] == "Content-Encoding"


def test_a_content_coding_that_is_not_decoded_is_named(client):
    response = client.post("/upscale?factor=1", content=PNG, headers={"Content-Encoding": "br"})
    problem = refused(response, 415, "unsupported_image")
    assert (problem["parameter"], problem["value"]) == ("Content-Encoding", "br")


@pytest.mark.parametrize("target", ["http://{host}/upscale?factor=1", "HTTP://{host}/upscale?factor=1"])
def test_the_absolute_form_of_a_target_is_accepted(address, target):
    host = urllib.parse.urlsplit(address).netloc
    line = f"POST {target.format(host=host)} HTTP/1.1\r\nHost: other.example\r\nConnection: close\r\n"
    status, _, body = exchange(address, f"{line}Content-Length: {len(PNG)}\r\n\r\n", PNG)
    assert status == 200, body
    status, head, _ = exchange(address, f"GET http://{host} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert status == 200
    assert b"text/html" in head


@pytest.mark.parametrize("accept", ["image/jpg", "image/jpg;q=0.9, text/html", "IMAGE/JPG"])
def test_jpg_is_jpeg(client, accept):
    response = client.post("/upscale?factor=1", content=PNG, headers={"Accept": accept})
    assert response.headers["content-type"] == "image/jpeg"
    response = client.post("/upscale?factor=1&format=jpg", content=PNG)
    assert response.headers["content-type"] == "image/jpeg"


@pytest.mark.parametrize("query", ["stylize?style=nope", "upscale?factor=2&detial=1", "upscale?factor=2"])
def test_a_refusal_reaches_a_client_that_closes_after_its_request(address, query):
    body = b"\xff\xd8" + np.random.default_rng(0).bytes(8_000_000)
    request = urllib.request.Request(f"{address}/{query}", data=body)  # urllib sends Connection: close
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=30)
    assert caught.value.code in {404, 413, 422}
    assert b"urn:impasto:problem:" in caught.value.read()


def test_a_refusal_reaches_a_client_of_http_1_0(address):
    body = np.random.default_rng(0).bytes(8_000_000)
    head = f"POST /stylize?style=nope HTTP/1.0\r\nContent-Length: {len(body)}\r\n\r\n"
    status, _, rest = exchange(address, head, body)
    assert status == 404
    assert b"unknown_model" in rest


def test_a_refusal_of_the_connection_itself_reaches_a_client_that_goes_on_sending(address):
    status, _, rest = exchange(address, "THIS IS NOT HTTP\r\n\r\n", bytes(4_000_000))
    assert status == 400
    assert b"bad_request" in rest


PREFIXED = {"X-Forwarded-Prefix": "/impasto", "X-Forwarded-Host": "example.org", "X-Forwarded-Proto": "https"}


def check_prefix(client, headers):
    job = client.post("/upscale?factor=2", content=PNG, headers={**headers, "Prefer": "respond-async"})
    assert job.status_code == 202, job.text
    assert job.headers["location"].startswith("/impasto/jobs/")
    assert client.get(job.headers["location"].removeprefix("/impasto")).status_code == 200
    assert client.get(job.headers["location"], headers=headers).status_code == 200  # a proxy that keeps the prefix
    docs = client.get("/docs", headers=headers).text
    assert '"/impasto/openapi.json"' in docs
    moved = client.post("/upscale/?factor=2", content=PNG, headers=headers)
    assert (moved.status_code, moved.headers["location"]) == (307, "/impasto/upscale?factor=2")
    lost = client.get("/v2/models/none", headers=headers)
    assert list(lost.json()) == ["error"]


def test_a_trusted_proxy_says_which_prefix_it_removed(client):
    check_prefix(client, PREFIXED)
    check_prefix(client, {**PREFIXED, "X-Forwarded-Prefix": "/impasto/", "X-Forwarded-For": "203.0.113.7"})
    assert client.get("/docs").text.count("/impasto") == 0


@pytest.mark.parametrize("prefix", ["//evil.example", "impasto", "/a\\b", "/a/../b", "/<script>", "/a b"])
def test_a_prefix_that_is_no_path_is_ignored(client, prefix):
    docs = client.get("/docs", headers={"X-Forwarded-Prefix": prefix}).text
    assert '"/openapi.json"' in docs


@pytest.fixture(scope="module")
def service_of(checkpoints):
    def start(**settings):
        return running(
            create_app(Settings(checkpoints=checkpoints, device="cpu", **settings), load_registry(checkpoints))
        )

    return start


def test_a_proxy_that_is_not_trusted_sets_no_prefix(service_of):
    with service_of(trusted_proxies="10.0.0.0/8") as address:
        docs = httpx.get(f"{address}/docs", headers=PREFIXED, trust_env=False)
    assert '"/openapi.json"' in docs.text


def test_the_prefix_can_be_a_setting(service_of):
    with (
        service_of(root_path="/impasto", trusted_proxies="") as address,
        httpx.Client(base_url=address, timeout=30, trust_env=False) as client,
    ):
        check_prefix(client, {})
        assert client.get("/livez").status_code == 200
