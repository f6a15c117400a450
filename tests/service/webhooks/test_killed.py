"""A replica is killed while it delivers a message: another one delivers it again."""

import signal
from contextlib import ExitStack

import pytest

from tests.conftest import save_net, tiny_upscaler
from tests.service.auth.test_quotas import free_port, redis, redis_server  # noqa: F401  # a fixture
from tests.service.jobs.fleet import Client, Fleet, environment_of
from tests.service.jobs.replica import FIRST_CODE
from tests.service.webhooks.receiver import receiving, secrets, sending_to, within, write_signing_keys


@pytest.mark.long
def test_a_message_of_a_killed_replica_is_delivered_by_another(tmp_path, redis_server):  # noqa: F811
    save_net(tmp_path / "checkpoints", "x2", tiny_upscaler(2))
    port, keys = free_port(), write_signing_keys(tmp_path / "webhook.keys")
    (tmp_path / "passes").touch()
    with ExitStack() as stack:
        stack.enter_context(redis(redis_server, tmp_path, port))
        receiver = stack.enter_context(receiving())
        settings = sending_to(receiver, keys, webhook_seconds=3)
        given = {name.upper(): value for name, value in settings.items()}
        environment = environment_of(tmp_path, port, ALLOW_ANONYMOUS="true", **given)
        fleet = stack.enter_context(Fleet(environment, replicas=1))
        fleet.wait_for(0)
        receiver.go.clear()
        client = stack.enter_context(Client(None, fleet.ports))
        path = client.post(FIRST_CODE, webhook=receiver.url)
        receiver.wait()
        fleet.replace(0, signal.SIGKILL)
        receiver.go.set()
        within(lambda: client.ask("GET", path).json()["webhook"]["state"] == "delivered", 60)
        first, second = receiver.wait(2)
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert second.verified(*secrets(keys))["data"]["state"] == "done"
