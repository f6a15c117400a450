"""Checkpoints from the Hugging Face Hub: the library huggingface_hub, and a small hub that speaks what it asks for."""

import hashlib
import json
import re
import sys
import time
from http.server import BaseHTTPRequestHandler

import pytest

from service.errors import StartupError
from service.models.registry import registry_from_settings
from service.settings import Settings
from tests.conftest import save_net, tiny_style_net, tiny_upscaler
from tests.service.auth.test_keys import service
from tests.service.storage.s3 import served as serve
from tests.service.storage.test_mirror import served
from tests.service.webhooks.receiver import within

REPOSITORY = "team/nets"
NAME, RESOLVE = f"/api/models/{REPOSITORY}/revision/", f"/{REPOSITORY}/resolve/"


class Handler(BaseHTTPRequestHandler):
    """Answers for the `hub` of its server."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        hub, path = self.server.hub, self.path.partition("?")[0]
        hub.requests.append(path)
        if hub.status != 200:
            return self.answer(hub.status, b"secret in the body")
        if path.startswith(NAME):
            commit = hub.branches.get(path.removeprefix(NAME), path.removeprefix(NAME))
            if commit not in hub.commits:
                return self.answer(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
            files = [described(name, data) for name, data in hub.commits[commit].items()]
            return self.answer(200, json.dumps({"id": REPOSITORY, "sha": commit, "siblings": files}).encode())
        commit, _, name = path.removeprefix(RESOLVE).partition("/")
        if name not in hub.commits.get(commit, {}):
            return self.answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        content = hub.lies.get(name, hub.commits[commit][name])
        return self.answer(200, content, {"ETag": f'"{digest_of(content)}"', "X-Repo-Commit": commit})

    do_HEAD = do_GET  # noqa: N815  # the name that the library calls

    def answer(self, status, body, headers=()):
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_):
        pass


def digest_of(data):
    return hashlib.sha256(data).hexdigest()


def described(name, data):
    """A file in the list, as the hub has it: large files have a SHA-256, small ones the name that git gives them."""
    entry = {"rfilename": name, "size": len(data), "blobId": hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()}
    return entry | (
        {"lfs": {"sha256": digest_of(data), "size": len(data), "pointerSize": 130}} if b"\0" in data else {}
    )


class Hub:
    """commits: {commit: {name: content}}. lies: contents that are sent in place of the right ones."""

    def __init__(self, address):
        self.address, self.status = address, 200
        self.branches, self.commits, self.lies, self.requests = {}, {}, {}, []

    def commit(self, files, branch="main"):
        commit = hashlib.sha1(json.dumps(sorted(map(digest_of, files.values()))).encode()).hexdigest()
        self.commits[commit], self.branches[branch] = files, commit
        return commit


@pytest.fixture
def hub(monkeypatch, tmp_path):
    with serve(Handler) as server:
        server.hub = Hub(f"http://127.0.0.1:{server.server_address[1]}")
        monkeypatch.setenv("HF_ENDPOINT", server.hub.address)
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        yield server.hub


@pytest.fixture
def net(tmp_path):
    """Make a network; the content of its file."""

    def make(name, network):
        return save_net(tmp_path / "made", name, network).read_bytes()

    return make


def read(cache, source):
    return registry_from_settings(Settings(checkpoints=cache, checkpoint_source=source))


def test_a_branch_is_copied_and_watched(hub, net, tmp_path):
    one = {"stylize/mosaic.safetensors": net("mosaic", tiny_style_net()), "README.md": b"a model card"}
    hub.commit(one | {"upscale/x2.safetensors": net("x2", tiny_upscaler(2))})
    cache = tmp_path / "cache"
    with service(cache, checkpoint_source=f"hf://{REPOSITORY}@main", watch_seconds=0.1, loading="eager") as client:
        before = served(client)
        assert set(before) == {"stylize/mosaic", "upscale/x2"}
        assert not list(cache.rglob("README.md"))
        hub.commit({"stylize/mosaic.safetensors": net("mosaic", tiny_style_net(seed=1))})
        within(lambda: served(client).keys() == {"stylize/mosaic"})
        within(lambda: served(client)["stylize/mosaic"] != before["stylize/mosaic"])


def test_a_commit_is_pinned_and_needs_the_hub_once(hub, net, tmp_path):
    commit = hub.commit({"stylize/mosaic.safetensors": net("mosaic", tiny_style_net()), "SHA256SUMS": b"0  x\n"})
    hub.commit({"stylize/wave.safetensors": net("wave", tiny_style_net())})
    cache, source = tmp_path / "cache", f"hf://{REPOSITORY}@{commit}"
    assert set(read(cache, source).entries) == {"stylize/mosaic"}
    assert (cache / "SHA256SUMS").read_bytes() == b"0  x\n"
    hub.requests.clear()
    with service(cache, checkpoint_source=source, watch_seconds=0.05) as client:
        time.sleep(0.3)
        assert set(served(client)) == {"stylize/mosaic"}
    assert hub.requests == []


def test_a_hub_that_goes_away_changes_nothing_and_is_logged(hub, net, tmp_path, caplog):
    hub.commit({"stylize/mosaic.safetensors": net("mosaic", tiny_style_net())})
    cache, source = tmp_path / "cache", f"hf://{REPOSITORY}@main"
    with service(cache, checkpoint_source=source, watch_seconds=0.05) as client:
        hub.status = 503
        within(lambda: "the checkpoints stay as they were copied" in caplog.text)
        assert set(served(client)) == {"stylize/mosaic"}
    assert set(read(cache, source).entries) == {"stylize/mosaic"}
    with pytest.raises(StartupError, match=r"@other: the hub does not respond as expected \(HfHubHTTPError\)"):
        read(cache, f"hf://{REPOSITORY}@other")
    assert "secret" not in caplog.text


@pytest.mark.parametrize("name", ["stylize/mosaic.safetensors", "SHA256SUMS"])
def test_what_the_hub_sends_is_verified(hub, net, tmp_path, name):
    content = net("mosaic", tiny_style_net())
    hub.commit({"stylize/mosaic.safetensors": content, "SHA256SUMS": b"0  x\n"})
    right = hub.commits[hub.branches["main"]][name]
    hub.lies[name] = right[:-1] + b"?"
    with pytest.raises(StartupError, match=f"{name}: the hub sent other bytes than those of (sha256|git):"):
        read(tmp_path / "cache", f"hf://{REPOSITORY}@main")
    assert not (tmp_path / "cache" / name).exists()
    del hub.lies[name]
    assert set(read(tmp_path / "cache", f"hf://{REPOSITORY}@main").entries) == {"stylize/mosaic"}


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (f"hf://{REPOSITORY}@gone", "the hub has no such model and revision, or they need a token (HF_TOKEN)"),
        (f"hf://{REPOSITORY}@{'0' * 40}", "the hub has no such model and revision"),
        (f"hf://{REPOSITORY}", "it is malformed; expected hf://org/name@revision"),
        ("hf://nets@main", "it is malformed"),
        ("hf://../nets@main", "it is malformed"),
        ("hf://team/nets@../main", "it is malformed"),
        ("hf://team/nets/x@main", "it is malformed"),
    ],
)
def test_a_source_that_is_not_there_or_malformed_stops_the_start(hub, tmp_path, source, said):
    with pytest.raises(StartupError, match=re.escape(f"IMPASTO_CHECKPOINT_SOURCE={source}: {said}")) as caught:
        read(tmp_path / "cache", source)
    assert "hf_secret" not in str(caught.value)


def test_a_hub_that_is_away_stops_the_start(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(StartupError, match=r"the hub does not respond as expected \(ConnectError\)"):
        read(tmp_path / "cache", f"hf://{REPOSITORY}@main")


def test_without_the_library_the_start_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "service.storage.hub", None)
    message = r"IMPASTO_CHECKPOINT_SOURCE: needs the package huggingface_hub: pip install 'impasto\[hf\]'"
    with pytest.raises(StartupError, match=message):
        read(tmp_path, f"hf://{REPOSITORY}@main")
