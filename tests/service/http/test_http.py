"""HTTP as it was meant: entity tags, a cache, methods, origins, file names, JSON bodies."""

import base64
import json
import socket
from dataclasses import dataclass

import httpx
import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from scripts.openapi import PATH
from service.app import create_app
from service.errors import ServiceError, StartupError
from service.http.body import EXAMPLE_BASE64
from service.http.headers import content_disposition
from service.models.registry import load_registry
from service.observability.metrics import Metrics
from service.pipeline.cache import OVERHEAD_BYTES, ResultCache
from service.pipeline.etag import matches
from service.settings import Settings, read_settings
from tests.conftest import decoded, encoded, picture, running, save_net, tiny_style_net
from tests.service.http.test_bad_input import refused
from tests.service.http.test_operations import counted
from tests.service.http.test_transform import answer_of

PICTURE = encoded(picture())
PAGE = "https://pictures.example"


@pytest.fixture(scope="module")
def served(checkpoints):
    """A service that keeps answers, up to three or four of them, and answers the pages of two origins."""
    settings = Settings(
        checkpoints=checkpoints,
        device="cpu",
        precision="fp32",
        max_batch_items=1,
        cache_bytes=30_000,
        cors_origins=f"{PAGE},http://localhost:3000",
    )
    app = create_app(settings, load_registry(checkpoints))
    with running(app) as address, httpx.Client(base_url=address, timeout=30, trust_env=False) as client:
        yield client


def tag_of(client, query="stylize?style=mosaic", body=PICTURE, **headers):
    response = client.post(f"/{query}", content=body, headers=headers)
    assert response.status_code == 200, response.text
    return response.headers["etag"]


def test_the_same_answer_has_the_same_tag_and_another_has_another(client):
    tag = tag_of(client)
    assert tag.startswith('W/"')
    assert tag == tag_of(client)
    assert tag == tag_of(client, "stylize?style=mosaic:1&strength=1.0&preserve_color=false&stroke=auto")
    others = [
        tag_of(client, body=encoded(picture(seed=1))),
        tag_of(client, "stylize?style=starry_night"),
        tag_of(client, "stylize?style=mosaic,starry_night"),
        tag_of(client, "stylize?style=mosaic&strength=0.5"),
        tag_of(client, "stylize?style=mosaic&preserve_color=true"),
        tag_of(client, "stylize?style=mosaic&stroke=2"),
        tag_of(client, "stylize?style=mosaic&max_side=20"),
        tag_of(client, "stylize?style=mosaic&format=webp"),
        tag_of(client, "stylize?style=mosaic", Accept="image/jpeg"),
        tag_of(client, "stylize?style=mosaic&format=jpeg&quality=50"),
        tag_of(client, "upscale?factor=2"),
        tag_of(client, "upscale?factor=1.9"),
    ]
    assert len({tag, *others}) == len(others) + 1


def test_a_client_that_has_the_output_gets_304_and_nothing_is_computed(client):
    tag = tag_of(client)
    passes = counted(client, "impasto_forward_passes_total")
    before = counted(client, "impasto_not_modified_total")
    for named in (tag, tag.removeprefix("W/"), f'"other", {tag}'):
        response = client.post("/stylize?style=mosaic", content=PICTURE, headers={"If-None-Match": named})
        assert (response.status_code, response.content) == (304, b"")
        assert response.headers["etag"] == tag
        assert response.headers["vary"] == "Accept"
        assert "content-type" not in response.headers
    assert counted(client, "impasto_forward_passes_total") == passes
    assert counted(client, "impasto_not_modified_total") == before + 3
    for named in ('"other"', "*", "nonsense", tag.strip('W/"')):
        response = client.post("/stylize?style=mosaic", content=PICTURE, headers={"If-None-Match": named})
        assert response.status_code == 200


def test_what_is_wrong_stays_wrong_whatever_tag_is_named(client):
    headers = {"If-None-Match": tag_of(client)}
    refused(client.post("/stylize?style=mosaic", content=PICTURE[:20], headers=headers), 422, "broken_image")


def test_tags_are_compared_as_they_should_be():
    assert matches('W/"a,b"', ['"x", W/"a,b"'])
    assert matches('W/"a"', ['"x"', '"a"'])
    assert not matches('W/"a"', ['"ab"', "a", "*", 'W/"'])


def test_another_network_another_tag(tmp_path):
    save_net(tmp_path, "mosaic", tiny_style_net(1))
    key = {"Authorization": f"Bearer {'k' * 16}"}
    settings = Settings(
        checkpoints=tmp_path, device="cpu", precision="fp32", max_batch_items=1, admin_key="k" * 16, cache_bytes=10**6
    )
    app = create_app(settings, load_registry(tmp_path))
    with running(app) as address, httpx.Client(base_url=address, trust_env=False) as client:
        tag = tag_of(client)
        save_net(tmp_path, "mosaic", tiny_style_net(2))
        client.post("/models/reload", headers=key).raise_for_status()
        response = client.post("/stylize?style=mosaic", content=PICTURE, headers={"If-None-Match": tag})
        assert response.status_code == 200
        assert response.headers["etag"] != tag
        assert np.array_equal(decoded(response.content), answer_of(tmp_path, "stylize/mosaic", picture()))


def test_an_answer_is_given_again_from_memory(served):
    first = served.post("/stylize?style=mosaic", content=PICTURE)
    passes = counted(served, "impasto_forward_passes_total")
    again = served.post("/stylize?style=mosaic", files={"image": ("again.png", PICTURE)})
    assert counted(served, "impasto_forward_passes_total") == passes
    assert again.content == first.content
    assert (first.headers["cache-status"], again.headers["cache-status"]) == ("Impasto; fwd=miss", "Impasto; hit")
    assert again.headers["server-timing"].startswith("cache;dur=")
    assert 'filename="again-mosaic.png"' in again.headers["content-disposition"]
    for header in ("etag", "impasto-model", "impasto-exact", "content-type"):
        assert again.headers[header] == first.headers[header]
    assert counted(served, "impasto_cache_requests_total", outcome="hit") >= 1
    assert counted(served, "impasto_cache_bytes") > len(first.content)


def test_the_cache_is_bounded(served):
    for seed in range(8):
        served.post("/stylize?style=mosaic", content=encoded(picture(seed=seed))).raise_for_status()
        assert 0 < counted(served, "impasto_cache_bytes") <= 30_000


def test_without_a_budget_nothing_is_kept(client):
    for _ in range(2):
        response = client.post("/stylize?style=mosaic", content=PICTURE)
        assert "cache-status" not in response.headers
        assert "forward" in response.headers["server-timing"]
    assert counted(client, "impasto_cache_bytes") == 0


@dataclass(frozen=True)
class Body:
    body: bytes


def cache_of(most_bytes):
    return ResultCache(most_bytes, Metrics(CollectorRegistry()))


def test_the_least_recently_used_leaves_first():
    each = 1000
    cache = cache_of(3 * (each + OVERHEAD_BYTES))
    results = {tag: Body(tag.encode() * each) for tag in "abcd"}
    for tag in "abc":
        cache.keep(tag, results[tag])
    assert cache.find("a") is results["a"]
    cache.keep("d", results["d"])
    assert [cache.find(tag) for tag in "abcd"] == [results["a"], None, results["c"], results["d"]]
    larger = Body(bytes(2 * each + OVERHEAD_BYTES))
    cache.keep("a", larger)
    assert [cache.find(tag) for tag in "acd"] == [larger, None, results["d"]]
    cache.keep("e", Body(bytes(int(cache.maxsize))))
    assert cache.find("e") is None
    assert cache.currsize == cache.maxsize
    assert len(cache) == 2


def test_head_is_get_without_its_body(client):
    for path in ("/", "/livez", "/readyz", "/models", "/models/stylize/mosaic", "/openapi.json", "/docs"):
        got, headed = client.get(path), client.head(path)
        assert headed.status_code == got.status_code == 200
        assert headed.content == b""
        assert headed.headers["content-length"] == got.headers["content-length"] == str(len(got.content))
    assert client.head("/models/stylize/nope").status_code == 404
    assert client.head("/nope").status_code == 404
    with_body = client.get("/models")  # on the same connection
    assert with_body.json()["models"]


def test_options_tells_what_a_path_allows(client):
    expected = {
        "/stylize": "OPTIONS, POST",
        "/upscale?factor=2": "OPTIONS, POST",
        "/models": "GET, HEAD, OPTIONS",
        "/models/stylize/mosaic": "GET, HEAD, OPTIONS",
        "/metrics": "GET, HEAD, OPTIONS",
    }
    for path, allowed in expected.items():
        response = client.options(path)
        assert (response.status_code, response.content, response.headers["allow"]) == (204, b"", allowed)
        assert refused(client.delete(path), 405, "method_not_allowed")
        assert client.delete(path).headers["allow"] == allowed
    refused(client.options("/nope"), 404, "not_found")
    assert client.head("/stylize?style=mosaic").status_code == 405


def test_pages_of_other_origins_are_not_answered_by_default(client):
    for response in (
        client.get("/models", headers={"Origin": PAGE}),
        client.options("/stylize", headers={"Origin": PAGE, "Access-Control-Request-Method": "POST"}),
    ):
        assert not [name for name in response.headers if name.startswith("access-control")]


def test_pages_of_named_origins_may_ask(served):
    preflight = {
        "Origin": PAGE,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type, if-none-match",
    }
    response = served.options("/stylize", headers=preflight)
    assert (response.status_code, response.content) == (204, b"")
    assert response.headers["access-control-allow-origin"] == PAGE
    assert "POST" in response.headers["access-control-allow-methods"]
    assert "If-None-Match" in response.headers["access-control-allow-headers"]
    answer = served.post("/stylize?style=mosaic", content=PICTURE, headers={"Origin": PAGE})
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert {"Accept", "Origin"} == set(answer.headers["vary"].split(", "))
    assert {"ETag", "Impasto-Model"} <= set(answer.headers["access-control-expose-headers"].split(", "))
    problem = served.post("/stylize?style=nope", content=PICTURE, headers={"Origin": PAGE})
    assert problem.headers["access-control-allow-origin"] == PAGE  # or the page could not read it


def test_pages_of_others_may_not(served):
    for headers in (
        {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"},
        {"Origin": PAGE, "Access-Control-Request-Method": "PUT"},
        {"Origin": PAGE, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-other"},
    ):
        response = served.options("/stylize", headers=headers)
        assert response.status_code == 204
        assert not [name for name in response.headers if name.startswith("access-control")]
    response = served.get("/models", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in response.headers


def test_any_origin_where_that_is_asked_for(checkpoints):
    settings = Settings(device="cpu", precision="fp32", max_batch_items=1, cors_origins="*")
    with running(create_app(settings, load_registry(checkpoints))) as address:
        response = httpx.get(f"{address}/models", headers={"Origin": "null"}, trust_env=False)
        assert response.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in response.headers


@pytest.mark.parametrize(
    "origins", ["example.org", "https://a.example/path", "https://a.example, https://b.example", "**"]
)
def test_wrong_origins_stop_the_start(origins):
    with pytest.raises(StartupError, match="IMPASTO_CORS_ORIGINS"):
        read_settings(cors_origins=origins)


@pytest.mark.parametrize(
    ("uploaded", "what", "expected"),
    [
        (None, "mosaic", 'inline; filename="mosaic.png"'),
        ("photo.jpg", "mosaic", 'inline; filename="photo-mosaic.png"'),
        ("holiday photo (2).tar.gz", "x4", 'inline; filename="holiday photo (2).tar-x4.png"'),
        ("../../etc/passwd", "x4", 'inline; filename="passwd-x4.png"'),
        ("C:\\Users\\me\\cat.bmp", "x4", 'inline; filename="cat-x4.png"'),
        (".htaccess", "x4", 'inline; filename="htaccess-x4.png"'),
        ('a"\r\nSet-Cookie: b=c;.jpg', "x4", 'inline; filename="a_Set-Cookie_ b_c-x4.png"'),
        ("CON.jpg", "x4", 'inline; filename="CON-x4.png"'),
        ("...", "x4", 'inline; filename="x4.png"'),
        ("", "mosaic:0.7,wave:0.3", 'inline; filename="mosaic_0.7_wave_0.3.png"'),
        ("Zoë.jpg", "x4", "inline; filename=\"Zoe-x4.png\"; filename*=UTF-8''Zo%C3%AB-x4.png"),
        ("写真.jpg", "x4", "inline; filename=\"x4.png\"; filename*=UTF-8''%E5%86%99%E7%9C%9F-x4.png"),
        ("x" * 500 + ".jpg", "x4", f'inline; filename="{"x" * 80}-x4.png"'),
    ],
)
def test_file_names_are_safe(uploaded, what, expected):
    assert content_disposition(uploaded, what, "png") == expected


def test_an_answer_has_a_file_name(client):
    raw = client.post("/upscale?factor=2&format=jpeg", content=PICTURE)
    assert raw.headers["content-disposition"] == 'inline; filename="x2.jpg"'
    form = client.post("/upscale?factor=2", files={"image": ("../a b.webp", PICTURE)})
    assert form.headers["content-disposition"] == 'inline; filename="a b-x2.png"'


BASE64 = base64.b64encode(PICTURE).decode()


@pytest.mark.parametrize(
    "text",
    [
        BASE64,
        f"data:image/png;base64,{BASE64}",
        f"DATA:image/jpeg;charset=x;BASE64,{BASE64}",
        f"data:;base64,{BASE64}",
        base64.encodebytes(PICTURE).decode(),
    ],
    ids=["base64", "data URL", "odd data URL", "bare data URL", "broken lines"],
)
def test_json_clients(client, checkpoints, text):
    response = client.post("/stylize?style=mosaic", json={"image": text})
    assert np.array_equal(decoded(response.content), answer_of(checkpoints, "stylize/mosaic", picture()))
    as_text = json.dumps({"image": text}).encode("utf-8")
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert client.post("/stylize?style=mosaic", content=as_text, headers=headers).content == response.content


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", "the JSON cannot be read"),
        (b"{", "the JSON cannot be read"),
        (b"[" * 100_000, "the JSON cannot be read"),
        (b"[]", "the JSON cannot be read"),
        (b'{"image": 5}', "image: Input should be a valid string"),
        (b'{"image": null}', "image: Input should be a valid string"),
        (b"{}", "image: Field required"),
        (b'{"image": "aGk=", "style": "mosaic"}', "style: Extra inputs are not permitted"),
        (b'{"image": "\xff"}', "the JSON cannot be read"),
        (b'{"image": "\\ud800"}', "the JSON cannot be read"),
        (b'{"image": "not base64!"}', "is not base64"),
        (b'{"image": "aGk=aGk="}', "is not base64"),
        (b'{"image": "caf\xc3\xa9"}', "is not base64"),
        (b'{"image": "a?b="}', "is not base64"),
        (b'{"image": "data:image/png,abc"}', "is a data URL without ;base64"),
        (b'{"image": "http://169.254.169.254/latest"}', "is a URL, and nothing is fetched here"),
        (b'{"image": "file:///etc/passwd"}', "is a URL, and nothing is fetched here"),
    ],
    ids=lambda value: str(value[:30]),
)
def test_json_that_is_not_what_was_expected(client, body, detail):
    headers = {"Content-Type": "application/json"}
    problem = refused(client.post("/stylize?style=mosaic", content=body, headers=headers), 422, "invalid_body")
    assert detail in problem["detail"]
    assert problem["parameter"] == "image"
    assert client.post("/stylize?style=mosaic", json={"image": BASE64}).status_code == 200


def test_what_json_holds_is_looked_at_like_any_picture(client):
    text = base64.b64encode(b"hello").decode()
    refused(client.post("/stylize?style=mosaic", json={"image": text}), 415, "unsupported_image")
    refused(client.post("/stylize?style=mosaic", json={"image": ""}), 422, "invalid_body")
    long = {"image": "A" * 200_000}
    refused(client.post("/stylize?style=mosaic", json=long), 413, "body_too_large")


def exchange(address, request, then=b""):
    """What a bare socket gets first, and all that it gets after `then`."""
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(request)
        first = connection.recv(65536)
        connection.sendall(then)
        rest = b""
        while then and (chunk := connection.recv(65536)):
            rest += chunk
        return first, rest


def test_a_client_that_asks_first_is_told_to_go_on(address):
    head = (
        f"POST /stylize?style=mosaic HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nConnection: close\r\n"
        f"Content-Length: {len(PICTURE)}\r\n\r\n"
    )
    first, rest = exchange(address, head.encode(), PICTURE)
    assert first.startswith(b"HTTP/1.1 100 Continue")
    assert b"HTTP/1.1 200 OK" in rest


@pytest.mark.parametrize(
    ("query", "length", "status"),
    [("style=nope", 1000, 404), ("style=mosaic", 999_999, 413), ("style=mosaic:x", 9, 422)],
)
def test_a_client_that_asks_first_need_not_send_what_would_be_refused(address, query, length, status):
    head = f"POST /stylize?{query} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
    first, _ = exchange(address, head.encode())
    assert first.startswith(f"HTTP/1.1 {status} ".encode())


def kinds(base=ServiceError):
    for kind in base.__subclasses__():
        yield kind
        yield from kinds(kind)


def test_every_way_of_no_is_in_the_document_with_an_example(client):
    document = client.get("/openapi.json").json()
    responses = [
        (int(status), response.get("content", {}).get("application/problem+json", {}))
        for path in document["paths"].values()
        for operation in path.values()
        for status, response in operation["responses"].items()
        if status != "default"
    ]
    described = {
        code: (status, example["value"])
        for status, problem in responses
        for code, example in problem.get("examples", {}).items()
    }
    schema = document["components"]["schemas"]["Problem"]
    for kind in kinds():
        if kind.code == "client_left":  # whom nobody can answer
            continue
        status, example = described[kind.code]
        assert status == kind.status == example["status"]
        assert example["type"] == f"urn:impasto:problem:{kind.code}"
        assert set(schema["required"]) <= set(example)
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_every_parameter_setting_and_error_is_in_the_documentation(client):
    docs = PATH.parent
    text, settings = (docs / "http.md").read_text(), (docs / "settings.md").read_text()
    document = client.get("/openapi.json").json()
    for path in ("/stylize", "/upscale"):
        for parameter in document["paths"][path]["post"]["parameters"]:
            assert f"`{parameter['name']}" in text or f"`{parameter['name'].title()}" in text, parameter["name"]
    for kind in kinds():
        assert kind.code == "client_left" or f"`{kind.code}`" in text, kind.code
    for name in ("CACHE_BYTES", "CORS_ORIGINS"):
        assert f"`IMPASTO_{name}`" in settings


def test_the_example_of_a_json_body_is_a_picture(client):
    response = client.post("/upscale?factor=2", json={"image": EXAMPLE_BASE64})
    assert decoded(response.content).shape == (4, 4, 3)


def test_the_served_document_is_the_committed_one(client):
    assert client.get("/openapi.json").json() == json.loads(PATH.read_text()), "run `make openapi`"
