"""Bodies as clients of other languages write them: multipart forms, and JSON."""

import base64
import json

import httpx
import pytest

from tests.conftest import decoded, encoded, picture, running
from tests.service.http.test_connection_limits import small_service

PICTURE = encoded(picture(8, 12))


@pytest.fixture(scope="module")
def client(checkpoints):
    with running(small_service(checkpoints)) as address, httpx.Client(base_url=address, trust_env=False) as made:
        yield made


def form(boundary, headers, before=b"", after=b""):
    start = f"--{boundary}\r\n".encode() + "\r\n".join(headers).encode() + b"\r\n\r\n"
    return before + start + PICTURE + f"\r\n--{boundary}--\r\n".encode() + after


FORMS = {
    "Node: fetch and FormData": (
        "----formdata-undici-012345678901",
        ['Content-Disposition: form-data; name="image"; filename="Caf%22é.png"', "Content-Type: image/png"],
    ),
    "Node: form-data": (
        "--------------------------515890814546601021194782",
        ['Content-Disposition: form-data; name="image"; filename="photo.png"', "Content-Type: image/png"],
    ),
    "PHP: curl with CURLFile": (
        "------------------------d74496d66958873e",
        [
            'Content-Disposition: form-data; name="image"; filename="/tmp/phpA1b2C3"',
            "Content-Type: application/octet-stream",
        ],
    ),
    "PHP: Guzzle": (
        "b5bd9a1a7a2c6b5b6b1d8ad0cb0e4cb1",
        [
            'Content-Disposition: form-data; name="image"; filename="photo.png"',
            f"Content-Length: {len(PICTURE)}",
            "Content-Type: image/png",
        ],
    ),
    "Java: OkHttp": (
        "3f3a1c52-6d57-4a62-9c3e-0a6d3a5e1f0b",
        [
            'Content-Disposition: form-data; name="image"; filename="photo.png"',
            "Content-Type: image/png",
            f"Content-Length: {len(PICTURE)}",
        ],
    ),
    "Java: Apache HttpClient": (
        "vXq0tDkZ8yWvM1c3bG7nLr2sJf5hTp",
        [
            'Content-Disposition: form-data; name="image"; filename="photo.png"',
            "Content-Type: application/octet-stream",
            "Content-Transfer-Encoding: binary",
        ],
    ),
    "Java: Spring's RestTemplate": (
        "N5WJ6o7Qm_4xY2zR-k1aB",
        ['Content-Disposition: form-data; name="image"; filename="photo.png"', "Content-Type: image/png", "X-Own: 1"],
    ),
}


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("quoted", [False, True], ids=["", "quoted boundary"])
def test_a_form_of_another_language(client, name, quoted):
    boundary, headers = FORMS[name]
    kind = f'multipart/form-data; boundary="{boundary}"' if quoted else f"multipart/form-data; boundary={boundary}"
    response = client.post("/upscale?factor=2", content=form(boundary, headers), headers={"Content-Type": kind})
    assert response.status_code == 200, response.text
    assert decoded(response.content).shape == (16, 24, 3)


@pytest.mark.parametrize(
    "body",
    [
        b"\xef\xbb\xbf" + json.dumps({"image": base64.b64encode(PICTURE).decode()}).encode(),
        json.dumps({"image": base64.urlsafe_b64encode(PICTURE).decode()}).encode(),
        json.dumps({"image": base64.urlsafe_b64encode(PICTURE).decode().rstrip("=")}).encode(),
    ],
    ids=["byte order mark", "base64url", "base64url without padding"],
)
def test_json_of_another_language(client, body):
    response = client.post("/upscale?factor=2", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 200, response.text
    assert decoded(response.content).shape == (16, 24, 3)


def test_what_is_not_base64_is_still_refused(client):
    for text in ("a", "ab=c", "!!!!", base64.b64encode(PICTURE).decode()[:-5] + "====="):
        response = client.post("/upscale?factor=2", json={"image": text})
        assert (response.status_code, response.json()["code"]) == (422, "invalid_body"), text
