"""A server that asks for a key, from the command line."""

import json

import pytest

from service.webhooks.signature import new_signing_key
from tests.conftest import encoded, picture
from tests.keys import ALICE, write_keys
from tests.service.auth.test_keys import service
from tests.service.webhooks.receiver import secrets


@pytest.fixture(scope="module")
def guarded(checkpoints, tmp_path_factory):
    with service(checkpoints, keys_file=write_keys(tmp_path_factory.mktemp("keys") / "keys")) as client:
        yield str(client.base_url)


def test_the_key_comes_from_the_option_or_the_environment(invoked, guarded, tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(encoded(picture(10, 12)))
    command = ["upscale", "a.png", "--factor", "2", "-o", "out", "--overwrite", "--server", guarded]
    without = invoked(*command)
    assert without.returncode == 1
    assert b"expected a header 'Authorization: Bearer KEY'" in without.stderr
    assert invoked(*command, "--key", ALICE).returncode == 0
    monkeypatch.setenv("IMPASTO_KEY", ALICE)
    assert invoked(*command).returncode == 0
    listing = invoked("models", "--server", guarded, "--json")
    assert len(json.loads(listing.stdout)["models"]) == 4


def test_a_key_that_cannot_be_sent_is_refused_before_anything_is(invoked, guarded, tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(picture(10, 12)))
    result = invoked("upscale", "a.png", "--factor", "2", "-o", "out", "--server", guarded, "--key", "two words")
    assert result.returncode == 2
    assert b"the key has blanks" in result.stderr
    assert b"two words" not in result.stderr


def test_keys_are_made_by_the_command(invoked, tmp_path):
    line = invoked("keys", "webhook").stdout.decode()
    (tmp_path / "webhook.keys").write_text(line + new_signing_key())
    shown = invoked("keys", "webhook", "alice", "--file", "webhook.keys").stdout.decode().split()
    assert shown == secrets(tmp_path / "webhook.keys", "alice")
    assert invoked("keys", "webhook", "alice").returncode == 2
    assert invoked("keys", "webhook", "alice", "--file", "missing").returncode == 2
