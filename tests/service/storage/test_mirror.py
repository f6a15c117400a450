"""Checkpoints from object storage: a real S3 server, and a folder as file:///."""

import shutil

import pytest

from service.errors import StartupError
from service.models.registry import registry_from_settings
from service.settings import Settings, read_settings
from tests.conftest import encoded, picture, save_net, tiny_style_net, tiny_upscaler
from tests.service.auth.test_keys import service
from tests.service.storage.s3 import BUCKET, refusing_server
from tests.service.webhooks.receiver import within


class Folder:
    """What S3 does, as files."""

    def __init__(self, path):
        self.path = path

    def put(self, key, data):
        path = self.path / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def delete(self, key):
        (self.path / key).unlink()


@pytest.fixture(params=["file", "s3"])
def source(request, tmp_path, monkeypatch):
    """(store, URL) of a prefix that is empty."""
    if request.param == "file":
        return Folder(tmp_path / "source"), f"file://{tmp_path}/source/nets"
    found = request.getfixturevalue("s3")
    for name, value in found.environment.items():
        monkeypatch.setenv(name, value)
    return found, f"s3://{BUCKET}/{tmp_path.name}/nets"


@pytest.fixture
def put(source, tmp_path):
    """Put a network into the store."""
    store, url = source
    base = "nets" if url.startswith("file:") else f"{tmp_path.name}/nets"

    def put(name, net):
        path = save_net(tmp_path / "made", name, net)
        store.put(f"{base}/{path.parent.name}/{path.name}", path.read_bytes())

    put.raw = lambda key, data: store.put(f"{base}/{key}", data)
    put.delete = lambda key: store.delete(f"{base}/{key}")
    return put


def served(client):
    return {f"{each['task']}/{each['name']}": each["version"] for each in client.get("/models").json()["models"]}


def test_checkpoints_are_copied_watched_and_removed(source, put, tmp_path):
    put("mosaic", tiny_style_net())
    put("x2", tiny_upscaler(2))
    put.raw("notes.txt", b"not a checkpoint")
    put.raw("stylize/.hidden.safetensors", b"nor this")
    cache = tmp_path / "cache"
    settings = {"checkpoint_source": source[1], "watch_seconds": 0.1, "loading": "eager"}
    with service(cache, **settings) as client:
        before = served(client)
        assert set(before) == {"stylize/mosaic", "upscale/x2"}
        assert client.post("/upscale?factor=2", content=encoded(picture(10, 12))).status_code == 200
        assert sorted(path.name for path in cache.rglob("*.*")) == [
            ".copied.json",
            "mosaic.safetensors",
            "x2.safetensors",
        ]
        put("mosaic", tiny_style_net(seed=1))
        put("wave", tiny_style_net(seed=2))
        put.delete("upscale/x2.safetensors")
        within(lambda: set(served(client)) == {"stylize/mosaic", "stylize/wave"})
        within(lambda: served(client)["stylize/mosaic"] != before["stylize/mosaic"])
        put.raw("stylize/wave.safetensors", b"damaged")
        within(lambda: client.get("/models").json()["refused"])
        assert set(served(client)) == {"stylize/mosaic", "stylize/wave"}, "the old one stays"


def test_a_copy_is_served_while_the_store_is_away(tmp_path, monkeypatch):
    put_folder = tmp_path / "source"
    save_net(put_folder, "mosaic", tiny_style_net())
    settings = {"checkpoint_source": f"file://{put_folder}"}
    with service(tmp_path / "cache", **settings) as client:
        assert set(served(client)) == {"stylize/mosaic"}
    shutil.rmtree(put_folder)
    with service(tmp_path / "cache", **settings) as client:
        assert set(served(client)) == {"stylize/mosaic"}


def test_expired_credentials_stop_the_start_and_are_not_shown(tmp_path, monkeypatch):
    with refusing_server() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(StartupError, match="its credentials are missing, wrong or expired") as caught:
            registry_from_settings(Settings(checkpoints=tmp_path / "cache", checkpoint_source=f"s3://{BUCKET}/nets"))
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("file:///nowhere/nets", "there are no checkpoints|there is no such object"),
        ("s3://bucket/../nets", "its key has empty or dotted segments"),
    ],
)
def test_a_source_that_is_not_there_or_malformed_stops_the_start(tmp_path, source, said):
    with pytest.raises(StartupError, match=f"IMPASTO_CHECKPOINT_SOURCE={source}: ({said})"):
        registry_from_settings(Settings(checkpoints=tmp_path / "cache", checkpoint_source=source))


def test_an_address_in_place_of_the_folder_says_where_it_goes():
    expected = "IMPASTO_CHECKPOINTS='s3://bucket/nets': expected a folder; IMPASTO_CHECKPOINT_SOURCE takes addresses"
    with pytest.raises(StartupError, match=expected):
        read_settings(checkpoints="s3://bucket/nets")
