"""API keys: scopes, ownership of jobs, and changes of the key file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from fastapi.routing import APIRoute

from service.app import create_app
from service.http.open_inference import routes as open_inference
from service.http.routes import jobs, operations, page, transform
from service.models.registry import registry_from_settings
from service.settings import Settings
from tests.conftest import encoded, picture, running
from tests.keys import ALICE, BOB, BOSS, EVERYBODY, GONE, bearer, write_keys
from tests.service.engine.test_isolation import wait_until
from tests.service.http.test_operations import counted

PICTURE = encoded(picture(10, 12))
OPEN = {
    "/", "/docs", "/web/{name}", "/livez", "/readyz", "/healthz", "/metrics", "/models", "/models/{task}/{name}",
    "/models/stylize/{name}/thumbnail", "/limits", "/v2", "/v2/health/live", "/v2/health/ready", "/v2/repository/index",
    "/v2/models/{model}", "/v2/models/{model}/versions/{version}", "/v2/models/{model}/ready",
    "/v2/models/{model}/versions/{version}/ready",
}  # fmt: skip


@contextmanager
def service(checkpoints: Path, **settings: object) -> Iterator[httpx.Client]:
    given = {"device": "cpu", "precision": "fp32", "max_batch_items": 1, "loading": "lazy"} | settings
    settings = Settings(checkpoints=checkpoints, **given)
    app = create_app(settings, registry_from_settings(settings))
    with running(app) as address, httpx.Client(base_url=address, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    return write_keys(tmp_path_factory.mktemp("keys") / "keys.toml")


@pytest.fixture(scope="module")
def guarded(checkpoints, file) -> Iterator[httpx.Client]:
    """A service that asks for keys."""
    with service(checkpoints, keys_file=file) as client:
        yield client


def upscale(client, headers=None, **options):
    return client.post("/upscale?factor=2", content=PICTURE, headers=headers or {}, **options)


@pytest.mark.parametrize("headers", [bearer(ALICE), {"X-API-Key": ALICE}, {"Authorization": f"bearer {ALICE}"}])
def test_a_key_opens_by_either_header(guarded, headers):
    assert upscale(guarded, headers).status_code == 200


def test_a_proxys_own_authorization_does_not_hide_the_key(guarded):
    headers = {"Authorization": "Basic dTpw", "X-API-Key": ALICE}
    assert upscale(guarded, headers).status_code == 200


WRONG = {
    "missing": ({}, "expected a header"),
    "wrong": (bearer(ALICE[:-1]), "is not known"),
    "longer": (bearer(ALICE + "x"), "is not known"),
    "hash": (bearer("0" * 64), "is not known"),
    "empty": ({"X-API-Key": ""}, "expected a header"),
    "not ascii": ({"X-API-Key": "\u00fc".encode("latin-1")}, "is not known"),
    "very long": (bearer("x" * 8000), "is not known"),
    "expired": (bearer(GONE), "has expired"),
}


@pytest.mark.parametrize("name", WRONG)
def test_without_a_good_key_the_answer_is_401_and_says_what_was_expected(guarded, name):
    headers, why = WRONG[name]
    response = upscale(guarded, headers)
    problem = response.json()
    assert (response.status_code, problem["code"]) == (401, "unauthorized")
    assert why in problem["detail"]
    assert problem["parameter"] == "Authorization"
    assert response.headers["www-authenticate"].startswith("Bearer ")
    assert all(key not in response.text for key in (ALICE, GONE, "xxxx"))


def test_a_key_is_asked_for_before_the_body_is_read(guarded):
    """A client without a key uploads nothing, and no decoder sees its data."""
    with pytest.raises(httpx.HTTPStatusError, match="401"):
        guarded.post("/upscale?factor=2", content=iter([b"never read"])).raise_for_status()
    assert guarded.post("/stylize?nonsense=1", content=b"x").status_code == 401


def test_every_route_asks_for_a_key_but_those_that_are_meant_to_be_open(guarded):
    """What tells jobs, computes or administers is closed; a route that is added later is closed or named above."""
    closed = set()
    routers = (transform.router, jobs.router, page.router, operations.admin, open_inference.router)
    routers += (operations.router, operations.probes, operations.internal)
    for route in (route for router in routers for route in router.routes if isinstance(route, APIRoute)):
        path = route.path.replace("{name}", "mosaic").replace("{task}", "stylize").replace("{model}", "upscale.x2")
        for method in route.methods:
            response = guarded.request(method, path.replace("{version}", "1").replace("{identity}", "x"))
            if route.path not in OPEN:
                assert response.status_code == 401, (method, route.path)
                closed.add(route.path)
            else:
                assert response.status_code != 401, (method, route.path)
    assert {"/stylize", "/upscale", "/jobs/{identity}/result", "/models/reload", "/v2/models/{model}/infer"} <= closed


def test_scopes_do_not_include_each_other(guarded):
    assert guarded.post("/models/reload", headers=bearer(BOSS)).status_code == 200
    for response, scope in (
        (guarded.post("/models/reload", headers=bearer(ALICE)), "admin"),
        (upscale(guarded, bearer(BOSS)), "transform"),
    ):
        assert (response.status_code, response.json()["code"]) == (403, "forbidden")
        assert response.json()["expected"] == scope
        assert f'error="insufficient_scope", scope="{scope}"' in response.headers["www-authenticate"]


def test_under_v2_a_refusal_has_the_protocols_form(guarded):
    response = guarded.post("/v2/models/upscale.x2/infer", content=b"{}")
    assert (response.status_code, set(response.json())) == (401, {"error"})


def test_a_job_is_its_keys_alone(guarded):
    """Another key's holder hears the same as of a job that never was."""
    posted = upscale(guarded, {**bearer(ALICE), "Prefer": "respond-async", "Idempotency-Key": "one"})
    assert posted.status_code == 202
    job = posted.headers["location"]
    for path in (job, f"{job}/events", f"{job}/result"):
        response = guarded.get(path, headers=bearer(BOB))
        assert (response.status_code, response.json()["code"]) == (404, "unknown_job")
    assert guarded.delete(job, headers=bearer(BOB)).status_code == 404
    assert guarded.get(job).status_code == 401
    his = upscale(guarded, {**bearer(BOB), "Prefer": "respond-async", "Idempotency-Key": "one"})
    assert his.headers["location"] != job, "an Idempotency-Key is its owner's own"
    assert "event: done" in guarded.get(f"{job}/events", headers=bearer(ALICE)).text
    assert guarded.get(f"{job}/result", headers=bearer(ALICE)).status_code == 200


def test_a_key_that_is_given_or_taken_back_counts_at_once(checkpoints, tmp_path):
    file = write_keys(tmp_path / "keys", {"alice": EVERYBODY["alice"]})
    with service(checkpoints, keys_file=file) as client:
        assert [upscale(client, bearer(key)).status_code for key in (ALICE, BOB)] == [200, 401]
        write_keys(file, {"bob": EVERYBODY["bob"]})
        assert [upscale(client, bearer(key)).status_code for key in (ALICE, BOB)] == [401, 200]
        assert counted(client, "impasto_key_reloads_total", outcome="taken") == 1
        assert counted(client, "impasto_keys") == 1


def test_a_key_is_replaced_while_it_is_used(checkpoints, tmp_path):
    """The old and the new key are of one caller: its jobs and quota stay, and no request is refused."""
    old, new = ALICE, BOB
    file = write_keys(tmp_path / "keys", {"alice": {"key": old, "scopes": ["transform"], "requests_per_minute": 9}})
    with service(checkpoints, keys_file=file) as client:
        posted = upscale(client, {**bearer(old), "Prefer": "respond-async"})
        assert upscale(client, bearer(new)).status_code == 401
        write_keys(file, {"alice": {"key": [old, new], "scopes": ["transform"], "requests_per_minute": 9}})
        answers = [upscale(client, bearer(key)) for key in (old, new)]
        assert [answer.status_code for answer in answers] == [200, 200]
        assert [answer.headers["ratelimit"].split(";")[1] for answer in answers] == ["r=7", "r=6"]
        assert counted(client, "impasto_keys") == 2
        write_keys(file, {"alice": {"key": new, "scopes": ["transform"], "requests_per_minute": 9}})
        assert [upscale(client, bearer(key)).status_code for key in (old, new)] == [401, 200]
        assert client.get(posted.headers["location"], headers=bearer(new)).status_code == 200
        assert counted(client, "impasto_keys") == 1


@pytest.mark.parametrize("how", ["broken", "empty", "world-readable", "gone"])
def test_a_broken_new_key_file_leaves_the_old_keys(checkpoints, tmp_path, caplog, how):
    file = write_keys(tmp_path / "keys")
    with service(checkpoints, keys_file=file) as client:
        if how == "gone":
            file.unlink()
        elif how == "world-readable":
            write_keys(file, {"bob": EVERYBODY["bob"]}, mode=0o644)
        else:
            file.write_text("[keys.alice" if how == "broken" else "")
        assert [upscale(client, bearer(ALICE)).status_code for _ in range(3)] == [200] * 3
        assert counted(client, "impasto_key_reloads_total", outcome="refused") == 1, "said and counted once"
        write_keys(file, {"bob": EVERYBODY["bob"]})
        assert [upscale(client, bearer(key)).status_code for key in (ALICE, BOB)] == [401, 200]
    said = [record for record in caplog.records if "the old keys stay" in record.getMessage()]
    assert len(said) == 1
    assert str(file) in said[0].getMessage()


def test_a_secret_of_kubernetes_is_swapped_by_a_link(checkpoints, tmp_path):
    for name in ("alice", "bob"):
        (tmp_path / name).mkdir()
        write_keys(tmp_path / name / "keys", {name: EVERYBODY[name]}, mode=0o440)
    (tmp_path / "data").symlink_to(tmp_path / "alice")
    with service(checkpoints, keys_file=tmp_path / "data" / "keys") as client:
        assert [upscale(client, bearer(key)).status_code for key in (ALICE, BOB)] == [200, 401]
        (tmp_path / "fresh").symlink_to(tmp_path / "bob")
        (tmp_path / "fresh").replace(tmp_path / "data")
        assert [upscale(client, bearer(key)).status_code for key in (ALICE, BOB)] == [401, 200]


def test_anonymous_beside_keys_where_that_is_allowed(checkpoints, tmp_path):
    with service(checkpoints, keys_file=write_keys(tmp_path / "keys"), allow_anonymous=True) as client:
        assert upscale(client).status_code == 200
        assert upscale(client, bearer(ALICE)).status_code == 200
        assert upscale(client, bearer("wrong")).status_code == 401, (
            "who means to use a key should hear that it is wrong"
        )
        assert client.post("/models/reload").status_code == 401
        assert client.post("/models/reload", headers=bearer(BOSS)).status_code == 200


def test_the_admin_key_of_the_environment_stands_beside_the_file(checkpoints, file):
    with service(checkpoints, keys_file=file, admin_key="k" * 16) as client:
        assert client.post("/models/reload", headers={"X-API-Key": "k" * 16}).status_code == 200
        assert upscale(client, bearer("k" * 16)).status_code == 403


def test_the_log_names_the_key_and_never_shows_it(guarded, caplog):
    caplog.set_level("INFO")
    upscale(guarded, bearer(ALICE))
    upscale(guarded, bearer(BOB + "x"))

    def names():
        return [record.caller for record in caplog.records if record.getMessage() == "request"]

    wait_until(lambda: len(names()) == 2)  # it is written once the answer is out
    assert names() == ["alice", None]
    assert all(key not in str(record.__dict__) for record in caplog.records for key in (ALICE, BOB))
