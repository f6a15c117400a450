"""input= and output=: images from and to object storage, below allowed prefixes only."""

import pytest

from service.errors import StartupError
from tests.conftest import decoded, encoded, picture
from tests.service.auth.test_keys import service
from tests.service.http.test_bad_input import refused
from tests.service.http.test_jobs import ASYNC, finished, promised
from tests.service.storage.s3 import BUCKET, s3_server

IMAGE = encoded(picture(10, 12))


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    with s3_server(tmp_path_factory.mktemp("s3")) as found:
        yield found


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
        assert response.json() == {"output": to, "bytes": len(direct.content), "media_type": "image/png"}
        assert response.headers["impasto-model"] == direct.headers["impasto-model"]
        assert s3.get("out/deep/a.png") == (direct.content, "image/png")
        s3.delete("out/deep/a.png")


def test_a_job_reads_its_input_when_it_is_accepted(stored):
    path = promised(upscale(stored, ASYNC, input=f"s3://{BUCKET}/in/a photo.png"))
    assert finished(stored, path)["state"] == "done"
    result = stored.get(f"{path}/result")
    assert decoded(result.content).shape == (20, 24, 3)
    assert "a photo-x2.png" in result.headers["content-disposition"]
    problem = refused(upscale(stored, ASYNC, IMAGE, output=f"s3://{BUCKET}/out/a.png"), 422, "invalid_parameter")
    assert problem["parameter"] == "output"


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
        ({"output": f"s3://{BUCKET}/out/"}, "it is not allowed"),
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
