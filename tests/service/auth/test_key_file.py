"""The file of keys, and the command that makes its lines."""

import re
import tomllib
from datetime import UTC, datetime

import pytest
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner

from service.auth.key_file import KeyFileError, digest_of, new_key, read_key_file
from service.auth.keys import KeyRing
from service.cli.main import app
from service.errors import StartupError
from service.observability.metrics import Metrics
from service.settings import Settings
from tests.keys import ALICE, BOB, EVERYBODY, write_keys

DIGEST = "0" * 64


def test_a_key_has_its_scopes_quotas_and_end(tmp_path):
    fields = {
        "key": ALICE,
        "scopes": ["transform", "admin"],
        "requests_per_minute": 60,
        "pixels_per_minute": 5_000_000,
        "expires": "2030-01-01T00:00:00+01:00",
    }
    (key,) = read_key_file(write_keys(tmp_path / "keys", {"alice": fields}))
    assert (key.caller.name, key.caller.scopes) == ("alice", {"transform", "admin"})
    assert (key.caller.requests_per_minute, key.caller.pixels_per_minute) == (60, 5_000_000)
    assert key.digest == digest_of(ALICE)
    assert key.expires == datetime(2029, 12, 31, 23, tzinfo=UTC)
    assert not key.expired()


def test_one_caller_may_have_two_keys(tmp_path):
    old, new = read_key_file(write_keys(tmp_path / "keys", {"alice": {"key": [ALICE, BOB], "scopes": ["transform"]}}))
    assert old.caller == new.caller
    assert [old.digest, new.digest] == [digest_of(ALICE), digest_of(BOB)]


BROKEN = {
    "": "has no keys",
    "keys = 3": "has no keys",
    "[keys.a": "is not TOML",
    "\x00": "is not TOML",
    "[users.a]": "has 'users'; expected tables [keys.NAME]",
    "[keys]\na = 3": "keys.a: expected a table",
    "[keys.a]\nscopes = ['transform']": "keys.a.sha256: expected 64 hexadecimal digits",
    f"[keys.a]\nsha256 = '{ALICE}'\nscopes = ['transform']": "keys.a.sha256: expected 64 hexadecimal digits",
    f"[keys.a]\nsha256 = '{DIGEST}'": "keys.a.scopes: expected a list of transform, styles and admin",
    f"[keys.a]\nsha256 = '{DIGEST}'\nscopes = []": "keys.a.scopes: expected a list",
    f"[keys.a]\nsha256 = '{DIGEST}'\nscopes = ['root']": "keys.a.scopes: 'root'; expected a list",
    f"[keys.a]\nsha256 = '{DIGEST}'\nscope = ['admin']": "keys.a: unknown field 'scope'",
    f"[keys.a]\nsha256 = '{DIGEST}'\nscopes = ['admin']\nrequests_per_minute = 0": "requests_per_minute: 0; expected",
    f"[keys.a]\nsha256 = '{DIGEST}'\nscopes = ['admin']\npixels_per_minute = true": "pixels_per_minute: True; expected",
    f"[keys.a]\nsha256 = '{DIGEST}'\nscopes = ['admin']\nexpires = 2030-01-01": "expires: expected a time with its",
    f"[keys.anonymous]\nsha256 = '{DIGEST}'\nscopes = ['admin']": "is taken by the service itself",
    f"[keys.'a b']\nsha256 = '{DIGEST}'\nscopes = ['admin']": "the name 'a b': expected 1 to 64 of",
    "".join(
        f"[keys.{name}]\nsha256 = '{DIGEST}'\nscopes = ['admin']\n" for name in "ab"
    ): "the same sha256 is there twice",
    "[keys.a]\nsha256 = []\nscopes = ['admin']": "keys.a.sha256: expected 64 hexadecimal digits",
    f"[keys.a]\nsha256 = ['{DIGEST}', 3]\nscopes = ['admin']": "or a list of such digests",
    f"[keys.a]\nsha256 = ['{DIGEST}', '{DIGEST}']\nscopes = ['admin']": "keys.a: the same sha256 is there twice",
}


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_file_stops_the_start_in_one_line_that_says_where(tmp_path, text):
    path = tmp_path / "keys"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(StartupError) as caught:
        KeyRing(Settings(keys_file=path), Metrics(CollectorRegistry()))
    message = str(caught.value)
    assert message.startswith(f"IMPASTO_KEYS_FILE={path}: ")
    assert BROKEN[text] in message
    assert "\n" not in message
    assert ALICE not in message
    assert DIGEST not in message


@pytest.mark.parametrize(
    ("mode", "fine"), [(0o600, True), (0o440, True), (0o640, True), (0o644, False), (0o602, False)]
)
def test_a_file_that_others_may_read_or_write_is_refused(tmp_path, mode, fine):
    path = write_keys(tmp_path / "keys", mode=mode)
    if fine:
        assert len(read_key_file(path)) == len(EVERYBODY)
    else:
        with pytest.raises(KeyFileError, match=rf"others may read or write it \(mode {mode:04o}\)"):
            read_key_file(path)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(KeyFileError, match="cannot be read: No such file"):
        read_key_file(tmp_path / "keys")


def test_new_keys_are_long_and_never_the_same():
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(re.fullmatch(r"impasto_[A-Za-z0-9_-]{43}", key) for key in keys)


def test_a_new_key_is_shown_once_and_its_lines_are_for_the_file(tmp_path):
    command = ["keys", "new", "alice", "--scope", "transform", "--scope", "admin", "--requests-per-minute", "5"]
    made = CliRunner().invoke(app, [*command, "--days", "30"])
    assert made.exit_code == 0, made.output
    key = made.stderr.splitlines()[-1]
    table = tomllib.loads(made.stdout)["keys"]["alice"]
    assert table["sha256"] == digest_of(key).hex()
    assert key not in made.stdout
    path = tmp_path / "keys"
    path.write_text(made.stdout + CliRunner().invoke(app, ["keys", "new", "bob"]).stdout)
    path.chmod(0o600)
    alice, bob = read_key_file(path)
    assert (alice.caller.scopes, alice.caller.requests_per_minute) == ({"transform", "admin"}, 5)
    assert 29 <= (alice.expires - datetime.now(UTC)).days <= 30
    assert (bob.caller.scopes, bob.caller.requests_per_minute, bob.expires) == ({"transform"}, None, None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["a b"], "the name 'a b'"), (["a\nb"], "the name 'a\\nb'"), (["a", "--scope", "root"], "--scope root: expected")],
)
def test_a_key_that_cannot_be_is_not_made(arguments, message):
    made = CliRunner().invoke(app, ["keys", "new", *arguments])
    assert made.exit_code == 2
    assert message in made.stderr
    assert made.stdout == ""
