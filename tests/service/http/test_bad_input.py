"""Everything that strangers send: each is told what was wrong, and the next request works."""

import random
import socket
import struct
import zlib

import pytest
from PIL import Image

from tests.conftest import encoded, picture


def claiming(width, height):
    """A PNG whose header claims a size that its data does not have."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


JPEG = encoded(picture(60, 80), "jpeg")

BODIES = {
    "empty": (b"", 422, "invalid_body", "the body is empty"),
    "text": (b"hello", 415, "unsupported_image", "looks like text"),
    "pdf": (b"%PDF-1.7 \xff", 415, "unsupported_image", "looks like PDF"),
    "half a jpeg": (JPEG[: len(JPEG) // 2], 422, "broken_image", "the JPEG cannot be decoded"),
    "a jpeg's first bytes": (JPEG[:20], 422, "broken_image", "the JPEG cannot be decoded"),
    "a png's signature": (encoded(picture())[:8], 422, "broken_image", "the PNG cannot be decoded"),
    "half a webp": (encoded(picture(), "webp")[:60], 422, "broken_image", "the WEBP cannot be decoded"),
    "60000 x 60000": (claiming(60_000, 60_000), 413, "too_many_pixels", "expected at most 40000 pixels"),
    "12000 x 10000": (claiming(12_000, 10_000), 413, "too_many_pixels", "expected at most 40000 pixels"),
    "201 x 200": (claiming(201, 200), 413, "too_many_pixels", "the picture is 201 x 200"),
    "no data": (claiming(100, 100), 422, "broken_image", "the PNG cannot be decoded"),
    "0 x 0": (claiming(0, 0), 422, "broken_image", "the PNG cannot be decoded"),
    "too long": (bytes(200_001), 413, "body_too_large", "expected at most 200000"),
}

QUERIES = {
    "": ("invalid_parameter", "style", 422),
    "style=nope": ("unknown_model", "style", 404),
    "style=../../etc/passwd": ("unknown_model", "style", 404),
    "style=": ("unknown_model", "style", 404),
    f"style={'x' * 5000}": ("unknown_model", "style", 404),
    "style=mosaic&style=mosaic": ("invalid_parameter", "style", 422),
    "style=mosaic&colour=red": ("invalid_parameter", "colour", 422),
    "style=mosaic&format=jxl": ("invalid_parameter", "format", 422),
}

FACTORS = {
    "": ("invalid_parameter", 422),
    "factor=4.1": ("unknown_model", 404),
    "factor=8": ("unknown_model", 404),
    "factor=four": ("invalid_parameter", 422),
    "factor=8.1": ("invalid_parameter", 422),
    "factor=0.9": ("invalid_parameter", 422),
    "factor=-4": ("invalid_parameter", 422),
    "factor=nan": ("invalid_parameter", 422),
    "factor=inf": ("invalid_parameter", 422),
    "factor=4&factor=2": ("invalid_parameter", 422),
}


def refused(response, status, code):
    """What every refusal must look like; its problem."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == status
    assert problem["code"] == code
    assert problem["type"] == f"urn:impasto:problem:{code}"
    assert problem["request_id"] == response.headers["x-request-id"]
    assert len(response.content) < 2000
    return problem


@pytest.fixture
def the_next_one_works(client):
    yield
    assert client.post("/stylize?style=mosaic", content=encoded(picture())).status_code == 200


@pytest.mark.usefixtures("the_next_one_works")
@pytest.mark.parametrize("form", [False, True], ids=["raw", "form"])
@pytest.mark.parametrize("name", BODIES)
def test_bodies(client, name, form):
    body, status, code, detail = BODIES[name]
    if form:
        response = client.post("/stylize?style=mosaic", files={"image": ("photo.jpg", body)})
    else:
        response = client.post("/stylize?style=mosaic", content=body, headers={"Content-Type": "image/jpeg"})
    assert detail in refused(response, status, code)["detail"]


@pytest.mark.usefixtures("the_next_one_works")
@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query[:30])
def test_queries(client, query):
    code, parameter, status = QUERIES[query]
    problem = refused(client.post(f"/stylize?{query}", content=encoded(picture())), status, code)
    assert problem["parameter"] == parameter
    assert parameter in problem["detail"]
    if code == "unknown_model":
        assert problem["expected"] == ["mosaic", "starry_night"]


@pytest.mark.usefixtures("the_next_one_works")
@pytest.mark.parametrize("query", FACTORS)
def test_factors(client, query):
    code, status = FACTORS[query]
    problem = refused(client.post(f"/upscale?{query}", content=encoded(picture())), status, code)
    assert problem["parameter"] == "factor"
    if code == "unknown_model":
        assert problem["expected"] == ["2", "4"]
        assert "served: 2, 4, and any number from 1 to 4" in problem["detail"]


@pytest.mark.usefixtures("the_next_one_works")
def test_a_body_past_the_limit_without_content_length(client):
    chunks = (bytes(50_000) for _ in range(20))
    problem = refused(client.post("/stylize?style=mosaic", content=chunks), 413, "body_too_large")
    assert "bytes have come and more follow; expected at most 200000" in problem["detail"]


@pytest.mark.usefixtures("the_next_one_works")
@pytest.mark.parametrize(
    ("content", "content_type", "detail"),
    [
        (b"x", "multipart/form-data", "cannot be read"),
        (b"--b\r\nnonsense", "multipart/form-data; boundary=b", "cannot be read"),
        (b'--b\r\nContent-Disposition: form-data; name="photo"; filename="a"\r\n\r\nx\r\n--b--\r\n', None, "['photo']"),
        (
            2 * b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\nx\r\n' + b"--b--\r\n",
            None,
            "one file in the field",
        ),
    ],
)
def test_forms_that_are_not_what_was_expected(client, content, content_type, detail):
    headers = {"Content-Type": content_type or "multipart/form-data; boundary=b"}
    problem = refused(client.post("/stylize?style=mosaic", content=content, headers=headers), 422, "invalid_body")
    assert detail in problem["detail"]
    assert problem["parameter"] == "image"


@pytest.mark.parametrize("accept", ["image/gif", "application/json", "image/png;q=0, text/plain", "nonsense"])
def test_a_client_that_accepts_nothing_of_ours(client, accept):
    response = client.post("/stylize?style=mosaic", content=encoded(picture()), headers={"Accept": accept})
    assert refused(response, 406, "not_acceptable")["value"] == accept


def test_an_answer_that_would_be_too_large(client):
    problem = refused(client.post("/upscale?factor=4", content=encoded(picture(150, 150))), 413, "too_many_pixels")
    assert "the network makes each side 4 times as long, and an output has at most 300000" in problem["detail"]
    assert client.post("/upscale?factor=2", content=encoded(picture(150, 150))).status_code == 200


def test_wrong_paths_and_methods_are_problems_too(client):
    refused(client.get("/nope"), 404, "not_found")
    response = client.get("/stylize?style=mosaic")
    refused(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "OPTIONS, POST"


@pytest.mark.usefixtures("the_next_one_works")
def test_a_client_that_disconnects_in_the_middle_of_a_body(address):
    host, port = address.removeprefix("http://").split(":")
    for _ in range(5):
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(b"POST /stylize?style=mosaic HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\nhalf")


@pytest.mark.usefixtures("the_next_one_works")
def test_mutated_pictures_are_answered_or_refused_never_an_error(client):
    random.seed(0)
    exif = Image.Exif()
    exif.update({0x0112: 6, 0x010E: "a description", 0x011A: 72.5, 0x829A: (1, 50)})
    sources = [encoded(picture(24, 24), kind, exif=exif) for kind in ("jpeg", "png", "webp")]
    sources += [encoded(picture(24, 24), kind, icc_profile=bytes(200)) for kind in ("jpeg", "png", "webp")]
    for attempt in range(240):
        data = bytearray(sources[attempt % 6])
        for _ in range(random.randint(1, 8)):
            data[random.randrange(len(data))] = random.randrange(256)
        response = client.post("/stylize?style=mosaic", content=bytes(data))
        assert response.status_code in {200, 413, 415, 422}, response.text


@pytest.mark.parametrize(
    "exif",
    [
        b"II*\x00",
        b"II*\x00\x08\x00\x00\x00",
        b"Exif\x00\x00MM\x00*\xff\xff\xff\xff",
        b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x09\x00\x01\x00\x00\x00\xff\xff\xff\xff\x00\x00\x00\x00",
    ],
)
def test_metadata_that_lies_is_no_reason_to_refuse_a_picture(client, exif):
    for kind in ("png", "jpeg"):
        response = client.post("/stylize?style=mosaic", content=encoded(picture(), kind, exif=exif))
        assert response.status_code == 200, response.text


def test_an_answer_too_long_for_its_format(client):
    long = encoded(picture(2, 4200))
    problem = refused(client.post("/upscale?factor=4&format=webp", content=long), 413, "too_many_pixels")
    assert "webp holds at most 16383" in problem["detail"]
    assert client.post("/upscale?factor=4&format=png", content=long).status_code == 200


def test_an_unforeseen_error_is_a_problem_with_the_requests_id_and_ends_nothing(client, app):
    def broken(*_arguments):
        raise RuntimeError("a bug of ours")

    pipeline = app.state.pipeline
    pipeline.check = broken
    try:
        response = client.post("/stylize?style=mosaic", content=encoded(picture()), headers={"X-Request-ID": "abc"})
    finally:
        del pipeline.check
    assert "a bug" not in response.text
    assert refused(response, 500, "internal")["request_id"] == "abc"
    assert client.post("/stylize?style=mosaic", content=encoded(picture())).status_code == 200
