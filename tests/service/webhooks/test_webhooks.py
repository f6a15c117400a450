"""Webhooks as clients and receivers see them, with a real receiver, over both job stores."""

import shutil
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.errors import StartupError
from service.jobs.record import Delivery, Webhook
from service.webhooks.sender import message_of
from tests.conftest import encoded
from tests.keys import ALICE, BOB, bearer, write_keys
from tests.service.auth.test_keys import service
from tests.service.auth.test_quotas import redis, redis_server  # noqa: F401  # a fixture
from tests.service.faults import BUG, PLAIN, faulty_picture
from tests.service.http.test_bad_input import refused
from tests.service.http.test_job_stores import pair, paused, replicas  # noqa: F401  # fixtures
from tests.service.http.test_jobs import ASYNC, finished, promised, status
from tests.service.http.test_operations import counted
from tests.service.webhooks.receiver import receiving, secrets, sending_to, within, write_signing_keys

BODY = encoded(faulty_picture(PLAIN))


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Again after a fraction of a second."""
    monkeypatch.setattr("service.webhooks.courier.FIRST_SECONDS", 0.1)
    monkeypatch.setattr("service.webhooks.courier.FACTOR", 1.5)


@pytest.fixture
def receiver():
    with receiving() as found:
        yield found


@pytest.fixture
def keys(tmp_path):
    return write_signing_keys(tmp_path / "webhook.keys")


def ask(client, url, body=BODY, events=None, **headers):
    query = {"factor": 2, "webhook": url} | ({"webhook_events": events} if events else {})
    return client.post("/upscale", params=query, content=body, headers={**ASYNC, **headers})


def attempts(outcome, *replicas):  # noqa: F811
    different = {id(each): each for each in replicas}.values()
    return sum(counted(each.client, "impasto_webhook_attempts_total", outcome=outcome) for each in different)


def settled(client, path):
    """The webhook of a job, once it is delivered or given up."""
    within(lambda: status(client, path)["webhook"]["state"] != "pending")
    return status(client, path)["webhook"]


def test_the_end_of_a_job_is_told_signed_and_seen_in_the_job(replicas, receiver, keys):  # noqa: F811
    one, other = replicas(**sending_to(receiver, keys))
    url = f"{receiver.url}/hooks?tenant=7"
    path = promised(ask(one.client, url, **{"X-Request-ID": "asked-first"}))
    webhook = settled(other.client, path)
    assert webhook == {
        "url": url, "events": ["done", "failed", "cancelled"], "state": "delivered", "attempts": 1, "status": 204,
    }  # fmt: skip
    [message] = receiver.messages
    told, job = message.verified(*secrets(keys)), status(one.client, path)
    assert told["type"] == "job.done"
    assert told["data"] == {
        "id": job["id"], "state": "done", "request_id": "asked-first", "bytes": job["bytes"], "media_type": "image/png",
    }  # fmt: skip
    assert message.path == "/hooks?tenant=7"
    assert message.headers["Host"] == f"localhost:{receiver.port}"
    assert message.headers["webhook-id"] == f"{job['id']}.done"
    assert attempts("delivered", one, other) == 1
    assert one.client.get(f"{path}/result").content == one.client.post("/upscale?factor=2", content=BODY).content


def test_a_receiver_that_fails_is_asked_again_with_the_same_message(replicas, receiver, keys):  # noqa: F811
    one, _ = replicas(**sending_to(receiver, keys))
    receiver.answers = [(500, {}), (429, {"Retry-After": "1"}), (302, {"Location": f"{receiver.url}/elsewhere"})]
    path = promised(ask(one.client, f"{receiver.url}/hook"))
    within(lambda: status(one.client, path)["webhook"].get("error") == "302: redirects are not followed")
    waiting = status(one.client, path)["webhook"]
    assert waiting["state"] in {"pending", "delivered"}
    webhook = settled(one.client, path)
    assert (webhook["state"], webhook["attempts"], webhook["status"]) == ("delivered", 4, 204)
    assert {message.path for message in receiver.messages} == {"/hook"}
    assert len({message.headers["webhook-id"] for message in receiver.messages}) == 1
    assert len({message.body for message in receiver.messages}) == 1
    times = [int(message.headers["webhook-timestamp"]) for message in receiver.messages]
    assert times[2] > times[1], "Retry-After"
    for message in receiver.messages:
        message.verified(*secrets(keys))


def test_a_slow_receiver_costs_one_attempt_at_a_time_and_delays_no_other(replicas, receiver, keys):  # noqa: F811
    with receiving() as quick:
        settings = sending_to(receiver, keys, webhook_seconds=0.3)
        one, _ = replicas(**settings | {"webhook_hosts": f"{receiver.url},{quick.url}"})
        receiver.go.clear()
        slow = [promised(ask(one.client, receiver.url)) for _ in range(6)]
        path = promised(ask(one.client, quick.url))
        assert settled(one.client, path)["attempts"] == 1
        within(lambda: status(one.client, slow[0])["webhook"].get("error") == "no response within 0.3 s")
        receiver.go.set()
        assert {settled(one.client, each)["state"] for each in slow} == {"delivered"}


def test_failures_and_cancellations_are_told_and_only_what_was_asked_for(replicas, receiver, keys):  # noqa: F811
    one, other = replicas(max_jobs_running=1, **sending_to(receiver, keys))
    with paused(one, other):
        failed = promised(ask(one.client, receiver.url, encoded(faulty_picture(BUG))))
    assert settled(one.client, failed)["state"] == "delivered"
    for each in {id(each): each for each in (one, other)}.values():
        each.net.go.clear()
    with paused(one, other):
        cancelled = promised(ask(one.client, receiver.url, events="cancelled,failed"))
        other.client.delete(cancelled)
        assert settled(one.client, cancelled)["events"] == ["failed", "cancelled"]
    quiet = promised(ask(one.client, receiver.url, events="failed"))
    finished(one.client, quiet)
    assert "state" not in status(one.client, quiet)["webhook"]
    first, second = (message.verified(*secrets(keys)) for message in receiver.messages)
    assert (first["type"], first["data"]["problem"]["code"]) == ("job.failed", "inference_failed")
    assert (second["type"], second["data"]["id"]) == ("job.cancelled", cancelled.rpartition("/")[2])


def test_a_receiver_that_is_gone_or_fails_for_hours_is_given_up(replicas, receiver, keys):  # noqa: F811
    one, other = replicas(**sending_to(receiver, keys, webhook_hours=1 / 3600))
    receiver.answers = [(410, {})]
    gone = settled(one.client, promised(ask(one.client, receiver.url)))
    assert (gone["state"], gone["attempts"], gone["error"]) == ("failed", 1, "status 410")
    receiver.answers = [(500, {})] * 20
    failed = settled(one.client, promised(ask(one.client, receiver.url)))
    assert failed["state"] == "failed"
    assert 2 <= failed["attempts"] <= 10
    assert attempts("given_up", one, other) == 2
    within(lambda: counted(one.client, "impasto_webhooks_waiting") == 0)


def test_a_message_outlives_its_job(replicas, receiver, keys):  # noqa: F811
    one, _ = replicas(**sending_to(receiver, keys))
    receiver.answers = [(500, {})] * 3
    path = promised(ask(one.client, receiver.url))
    finished(one.client, path)
    assert one.client.delete(path).status_code == 204
    refused(one.client.get(path), 404, "unknown_job")
    receiver.wait(4)
    within(lambda: counted(one.client, "impasto_webhooks_waiting") == 0)


def test_waiting_messages_are_bounded(replicas, receiver, keys):  # noqa: F811
    one, _ = replicas(**sending_to(receiver, keys, max_webhooks=1))
    receiver.answers = [(500, {})] * 50
    finished(one.client, promised(ask(one.client, receiver.url)))
    problem = refused(ask(one.client, receiver.url), 503, "overloaded")
    assert "1 messages wait for webhooks, the limit is 1" in problem["detail"]
    assert one.client.post("/upscale?factor=2", content=BODY, headers=ASYNC).status_code == 202


def test_the_same_key_with_another_webhook_is_another_request(replicas, receiver, keys):  # noqa: F811
    one, other = replicas(**sending_to(receiver, keys))
    named = {"Idempotency-Key": "a"}
    path = promised(ask(one.client, receiver.url, **named))
    assert promised(ask(other.client, receiver.url, **named)) == path
    refused(ask(other.client, f"{receiver.url}/other", **named), 422, "idempotency_key_reused")
    assert settled(one.client, path)["attempts"] == 1
    assert len(receiver.messages) == 1


def test_each_owner_has_a_secret_and_keys_can_be_replaced(checkpoints, replicas, receiver, keys, tmp_path):  # noqa: F811
    fields = {"scopes": ["transform"]}
    people = write_keys(tmp_path / "keys", {"alice": {"key": ALICE, **fields}, "bob": {"key": BOB, **fields}})
    one, _ = replicas(keys_file=people, **sending_to(receiver, keys))

    def told(key):
        before = len(receiver.messages)
        promised(ask(one.client, receiver.url, **bearer(key)))
        return receiver.wait(before + 1)[-1]

    old = secrets(keys, "alice")
    told(ALICE).verified(*old)
    with pytest.raises(Exception, match="No matching signature"):
        told(BOB).verified(*old)
    keys.write_text(keys.read_text() + write_signing_keys(tmp_path / "new").read_text())
    both = secrets(keys, "alice")
    assert len(both) == 2
    told(ALICE).verified(*both)  # both are valid at once
    shutil.copy(tmp_path / "new", keys)
    with pytest.raises(Exception, match="No matching signature"):
        told(ALICE).verified(*old)


REFUSED = {
    "https://elsewhere.example/hook": "its host is not allowed",
    "ftp://localhost/": "it is malformed",
    "not a url": "it is malformed",
    "http://user:secret@localhost/": "it is malformed",
    "http://localhost/#part": "it is malformed",
    "http://localhost:1/": "its host is not allowed",
    "https://127.0.0.1/": "127.0.0.1 is the address 127.0.0.1, which is not public",
    "https://localhost/": "which is not public",
    "https://2130706433/": "which is not public",
    "https://0x7f.1/": "which is not public",
    "https://[::1]/": "which is not public",
    "https://[::ffff:127.0.0.1]/": "which is not public",
    "https://169.254.169.254/latest/meta-data": "which is not public",
    f"https://localhost/{'x' * 2000}": "it has 2018 characters",
}


def test_a_webhook_that_leads_inside_or_is_not_allowed_is_refused(checkpoints, keys):
    with service(checkpoints, webhook_hosts="*", webhook_keys_file=keys) as client:
        for url, why in (REFUSED | {"https://elsewhere.example/hook": ""}).items():
            if why:
                problem = refused(ask(client, url), 422, "invalid_parameter")
                assert (problem["parameter"], why in problem["detail"]) == ("webhook", True), (url, problem)
    with service(checkpoints, webhook_hosts="hooks.example.org", webhook_keys_file=keys) as client:
        problem = refused(ask(client, "https://elsewhere.example/hook"), 422, "invalid_parameter")
        assert problem["expected"] == "a host that IMPASTO_WEBHOOK_HOSTS allows"


def test_what_a_webhook_needs_is_said(checkpoints, receiver, keys):
    with service(checkpoints, **sending_to(receiver, keys)) as client:
        alone = client.post("/upscale", params={"factor": 2, "webhook": receiver.url}, content=BODY)
        assert refused(alone, 422, "invalid_parameter")["expected"] == "Prefer: respond-async"
        without = client.post("/upscale?factor=2&webhook_events=done", content=BODY, headers=ASYNC)
        assert refused(without, 422, "invalid_parameter")["parameter"] == "webhook_events"
        wrong = refused(ask(client, receiver.url, events="started"), 422, "invalid_parameter")
        assert wrong["expected"] == "done, failed, cancelled, or several with commas"
    with service(checkpoints) as client:
        problem = refused(ask(client, receiver.url), 422, "invalid_parameter")
        assert "sends no webhooks" in problem["detail"]
    assert receiver.messages == []


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "IMPASTO_WEBHOOK_KEYS_FILE: expected a file of signing keys, because IMPASTO_WEBHOOK_HOSTS is set"),
        ({"webhook_keys_file": "missing"}, "IMPASTO_WEBHOOK_KEYS_FILE=missing: cannot be read"),
        ({"webhook_hosts": "ftp://x"}, "IMPASTO_WEBHOOK_HOSTS=ftp://x: expected hooks.example.org, "),
        ({"webhook_networks": "10.0.0.1/8"}, "IMPASTO_WEBHOOK_NETWORKS: 10.0.0.1/8 has host bits set"),
    ],
)
def test_wrong_settings_stop_the_start(checkpoints, settings, said):
    with (
        pytest.raises(StartupError, match="^" + said.replace(".", r"\.")),
        service(checkpoints, **{"webhook_hosts": "*"} | settings),
    ):
        pass


def test_without_the_library_the_start_says_what_to_install(checkpoints, monkeypatch):
    monkeypatch.setitem(sys.modules, "service.webhooks.webhooks", None)
    message = r"IMPASTO_WEBHOOK_HOSTS: needs the package standardwebhooks: pip install 'impasto\[webhooks\]'"
    with pytest.raises(StartupError, match=message), service(checkpoints, webhook_hosts="*"):
        pass


def test_messages_survive_a_redis_and_a_replica_that_are_away(pair, tmp_path, redis_server, receiver, keys):  # noqa: F811
    start, port, process = pair
    settings = sending_to(receiver, keys)
    one = start(**settings)
    receiver.go.clear()
    path = promised(ask(one.client, receiver.url))
    receiver.wait()
    process.kill()
    process.wait()
    receiver.go.set()  # it has the message, and the store cannot be told
    with redis(redis_server, tmp_path, port, ["--appendonly", "yes"]), ThreadPoolExecutor(1):
        within(lambda: one.client.get(path).status_code == 200)
        webhook = settled(one.client, path)
        assert (webhook["state"], webhook["attempts"]) == ("delivered", 1)


def test_a_message_names_the_object_that_the_output_went_to():
    written = {"url": "s3://photos/out/a.png", "bytes": 3, "etag": ""}
    webhook = Webhook("https://hooks.example.org", "hooks.example.org", ("done",))
    outcome = {"format": "png", "written": written}
    delivery = Delivery("id", "alice", webhook, "done", 0.0, {"request_id": "r"}, outcome, 3)
    data = message_of(delivery)["data"]
    assert (data["output"], data["bytes"], data["media_type"]) == ("s3://photos/out/a.png", 3, "image/png")
