"""input= and output=: images from and to object storage, below allowed prefixes only."""

import hashlib
import sys
from contextlib import ExitStack

import pytest

from service.errors import StartupError
from tests.conftest import decoded, encoded, picture
from tests.service.auth.test_keys import service
from tests.service.auth.test_quotas import redis, redis_server  # noqa: F401  # a fixture
from tests.service.http.test_bad_input import refused
from tests.service.http.test_jobs import ASYNC, finished, promised
from tests.service.storage.s3 import BUCKET, refusing_server

IMAGE = encoded(picture(10, 12))


@pytest.fixture
def stored(s3, checkpoints, monkeypatch):
    """A service with photos/in/ to read and photos/out/ to write."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    s3.put("in/a photo.png", IMAGE)
    s3.put("private/a.png", IMAGE)
    prefixes = {"input_prefixes": f"s3://{BUCKET}/in", "output_prefixes": f"s3://{BUCKET}/out/"}
    with service(checkpoints, **prefixes) as client:
        yield client


def upscale(client, headers=None, content=b"", **query):
    return client.post("/upscale", params={"factor": 2, **query}, content=content, headers=headers)


def test_images_come_from_and_go_to_s3(stored, s3):
    direct = upscale(stored, content=IMAGE)
    assert upscale(stored, input=f"s3://{BUCKET}/in/a photo.png").content == direct.content
    to = f"s3://{BUCKET}/out/deep/a.png"
    for query in ({"content": IMAGE}, {"input": f"s3://{BUCKET}/in/a photo.png"}):
        response = upscale(stored, output=to, **query)
        assert response.status_code == 201, response.text
        etag = f'"{hashlib.md5(direct.content).hexdigest()}"'  # as S3 defines it
        written = {"output": to, "bytes": len(direct.content), "media_type": "image/png", "etag": etag}
        assert (response.json(), response.headers["location"]) == (written, to)
        assert response.headers["impasto-model"] == direct.headers["impasto-model"]
        assert s3.get("out/deep/a.png") == (direct.content, "image/png")
        s3.delete("out/deep/a.png")


def test_a_job_reads_its_input_when_it_is_accepted(stored):
    path = promised(upscale(stored, ASYNC, input=f"s3://{BUCKET}/in/a photo.png"))
    assert finished(stored, path)["state"] == "done"
    result = stored.get(f"{path}/result")
    assert decoded(result.content).shape == (20, 24, 3)
    assert "a photo-x2.png" in result.headers["content-disposition"]


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ({"input": f"s3://{BUCKET}/private/a.png"}, "it is not allowed"),
        ({"input": f"s3://{BUCKET}/in/../private/a.png"}, "dotted segments"),
        ({"input": f"s3://{BUCKET}/inner.png"}, "it is not allowed"),
        ({"input": f"s3://{BUCKET}/out/a.png"}, "it is not allowed"),
        ({"input": f"s3://other{BUCKET}/in/a.png"}, "it is not allowed"),
        ({"input": "file:///etc/passwd"}, "it is not allowed"),
        ({"input": "http://169.254.169.254/in/"}, "it is malformed"),
        ({"input": f"s3://{BUCKET}/in/missing.png"}, "there is no such object"),
        ({"output": f"s3://{BUCKET}/in/a.png"}, "it is not allowed"),
        ({"output": f"s3://{BUCKET}/out/"}, "it is a folder"),
        ({"output": f"s3://{BUCKET}"}, "it is a folder"),
        ({"output": f"s3://{BUCKET}/out//a.png"}, "empty or dotted segments"),
        ({"output": "out/a.png"}, "it is malformed"),
    ],
)
def test_what_is_not_allowed_or_not_there_is_refused(stored, query, why):
    content = b"" if "input" in query else IMAGE
    problem = refused(upscale(stored, content=content, **query), 422, "invalid_parameter")
    assert (problem["parameter"], why in problem["detail"]) == (*query, True), problem


def test_an_input_beside_a_body_or_too_large_is_refused(stored, s3):
    source = f"s3://{BUCKET}/in/a photo.png"
    assert refused(upscale(stored, content=IMAGE, input=source), 422, "invalid_parameter")["parameter"] == "input"
    s3.put("in/large", b"x" * (33 * 2**20))
    refused(upscale(stored, input=f"s3://{BUCKET}/in/large"), 413, "body_too_large")


def test_without_prefixes_nothing_is_read(checkpoints, tmp_path):
    (tmp_path / "a.png").write_bytes(IMAGE)
    with service(checkpoints) as client:
        refused(upscale(client, input=f"file://{tmp_path}/a.png"), 422, "invalid_parameter")
    with service(checkpoints, input_prefixes=f"file://{tmp_path}", output_prefixes=f"file://{tmp_path}/o") as client:
        assert upscale(client, input=f"file://{tmp_path}/a.png").status_code == 200
        assert upscale(client, input=f"file://{tmp_path}/a.png", output=f"file://{tmp_path}/o/b.png").status_code == 201
        assert decoded((tmp_path / "o/b.png").read_bytes()).shape == (20, 24, 3)


def test_a_store_that_is_away_is_503_and_a_wrong_prefix_stops_the_start(checkpoints, monkeypatch):
    for name, value in {"AWS_ENDPOINT": "http://127.0.0.1:9", "AWS_ALLOW_HTTP": "true", "AWS_REGION": "x",
                        "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "secret-key"}.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    with service(checkpoints, input_prefixes=f"s3://{BUCKET}/in/") as client:
        problem = refused(upscale(client, input=f"s3://{BUCKET}/in/a.png"), 503, "unavailable")
        assert "does not respond as expected" in problem["detail"]
        assert "secret" not in str(problem)
    wrong = pytest.raises(StartupError, match="IMPASTO_INPUT_PREFIXES=http://x: expected")
    with wrong, service(checkpoints, input_prefixes="http://x"):
        pass


@pytest.fixture(params=["memory", "redis"])
def writing(request, s3, checkpoints, tmp_path, monkeypatch):
    """Start replicas that may write to photos/out/, and to photos that are not there; in Redis, they share jobs."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    with ExitStack() as stack:
        given = {"output_prefixes": f"s3://{BUCKET}/out,s3://missing/,file://{tmp_path}/out"}
        if request.param == "redis":
            port, _ = stack.enter_context(redis(request.getfixturevalue("redis_server"), tmp_path))
            given["job_store"] = f"redis://127.0.0.1:{port}/0"

        def start(**settings):
            return stack.enter_context(service(checkpoints, **given, **settings))

        yield start


def test_the_output_of_a_job_goes_to_s3_and_the_job_says_where(writing, s3):
    client, to = writing(), f"s3://{BUCKET}/out/my job.png"
    direct = upscale(client, content=IMAGE)
    path = promised(upscale(client, ASYNC, IMAGE, output=to))
    job = finished(client, path)
    assert (job["state"], job["output"], job["bytes"]) == ("done", to, len(direct.content))
    assert s3.get("out/my job.png") == (direct.content, "image/png")
    result = client.get(f"{path}/result")
    assert result.status_code == 200
    assert result.json() == {name: job[name] for name in ("output", "bytes", "media_type", "etag")}
    assert result.headers["location"] == f"s3://{BUCKET}/out/my%20job.png"
    assert result.headers["etag"] == direct.headers["etag"]
    assert client.delete(path).status_code == 204
    assert s3.get("out/my job.png")[0] == direct.content, "it is the client's"
    waited = upscale(client, {"Prefer": "respond-async, wait=30"}, IMAGE, output=to)
    assert (waited.status_code, waited.json()) == (201, result.json())


def test_another_output_is_another_job_of_the_same_key(writing):
    client, keyed = writing(), ASYNC | {"Idempotency-Key": "a"}
    path = promised(upscale(client, keyed, IMAGE, output=f"s3://{BUCKET}/out/1.png"))
    assert promised(upscale(client, keyed, IMAGE, output=f"s3://{BUCKET}/out/1.png")) == path
    refused(upscale(client, keyed, IMAGE, output=f"s3://{BUCKET}/out/2.png"), 422, "idempotency_key_reused")


def test_a_job_whose_output_cannot_be_written_fails_with_the_location(writing, tmp_path):
    (tmp_path / "out/folder").mkdir(parents=True)
    client = writing()
    for to, code, why in [
        ("s3://missing/a.png", "unavailable", "there is no such bucket"),
        (f"file://{tmp_path}/out/folder", "invalid_parameter", "it is a folder"),
    ]:
        job = finished(client, promised(upscale(client, ASYNC, IMAGE, output=to)))
        assert (job["state"], job["problem"]["code"]) == ("failed", code)
        assert job["problem"]["detail"].startswith(f"query parameter 'output' is {to!r}: {why}")
    assert not list((tmp_path / "out/folder").iterdir())


def test_an_output_is_written_although_the_client_knows_its_tag(stored, s3):
    known = {"If-None-Match": upscale(stored, content=IMAGE).headers["etag"]}
    assert upscale(stored, known, IMAGE).status_code == 304
    assert upscale(stored, known, IMAGE, output=f"s3://{BUCKET}/out/known.png").status_code == 201
    assert s3.get("out/known.png")[1] == "image/png"


def test_wrong_credentials_are_503_after_one_request(checkpoints, monkeypatch):
    """The S3 server here refuses every request; the library does not try again."""
    with refusing_server() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        with service(checkpoints, output_prefixes=f"s3://{BUCKET}/out") as client:
            to = f"s3://{BUCKET}/out/a.png"
            for response in (
                upscale(client, content=IMAGE, output=to),
                upscale(client, {"Prefer": "respond-async, wait=30"}, IMAGE, output=to),
            ):
                problem = refused(response, 503, "unavailable")
                assert to in problem["detail"]
                assert "its credentials are missing, wrong or expired" in problem["detail"]
                assert "secret" not in response.text
        assert server.requests == ["PUT", "PUT"]


def test_without_the_library_the_start_says_what_to_install(checkpoints, monkeypatch):
    monkeypatch.setitem(sys.modules, "service.storage.objects", None)
    message = r"IMPASTO_OUTPUT_PREFIXES: needs the package obstore: pip install 'impasto\[storage\]'"
    with pytest.raises(StartupError, match=message), service(checkpoints, output_prefixes="s3://bucket/out"):
        pass
