"""Checkpoints that somebody vouches for, with the tools that an operator has."""

import asyncio
import shutil
import subprocess

import httpx
import pytest
from prometheus_client import CollectorRegistry

from service.app import create_app
from service.errors import StartupError
from service.models.registry import registry_from_settings
from service.observability.metrics import Metrics
from service.settings import Settings
from tests.conftest import running, save_net, tiny_style_net, tiny_upscaler


def listed(folder):
    files = sorted(str(path.relative_to(folder)) for path in folder.glob("*/*.safetensors"))
    sums = subprocess.run(["sha256sum", *files], cwd=folder, capture_output=True, text=True, check=True).stdout
    (folder / "SHA256SUMS").write_text(sums)


@pytest.fixture
def folder(tmp_path):
    save_net(tmp_path, "mosaic", tiny_style_net())
    save_net(tmp_path, "x2", tiny_upscaler(2))
    listed(tmp_path)
    return tmp_path


def registry_in(folder, **settings):
    return registry_from_settings(Settings(checkpoints=folder, checkpoint_digests="require", **settings))


@pytest.mark.parametrize("loading", ["eager", "lazy"])
def test_what_is_not_listed_or_differs_is_refused_and_the_rest_serves(folder, loading):
    save_net(folder, "wave", tiny_style_net(3))
    save_net(folder, "mosaic", tiny_style_net(4))
    registry = registry_in(folder, loading=loading)
    assert list(registry.entries) == ["upscale/x2"]
    assert registry.refused["stylize/wave.safetensors"] == "not listed in SHA256SUMS"
    assert "digest sha256:" in registry.refused["stylize/mosaic.safetensors"]
    listed(folder)
    assert len(registry_in(folder, loading=loading).entries) == 3


def test_refused_ones_are_seen_in_the_listing_and_the_metrics(folder):
    save_net(folder, "wave", tiny_style_net(3))
    settings = Settings(
        checkpoints=folder, checkpoint_digests="require", device="cpu", precision="fp32", max_batch_items=1
    )
    registry = registry_from_settings(settings)
    with running(create_app(settings, registry, 1)) as address:
        seen = httpx.get(f"{address}/models", trust_env=False).json()["refused"]
        assert seen == [{"file": "stylize/wave.safetensors", "reason": "not listed in SHA256SUMS"}]
        assert "impasto_models_refused 1.0" in httpx.get(f"{address}/metrics", trust_env=False).text


def test_a_new_list_is_read_with_the_next_reload(folder):
    save_net(folder, "wave", tiny_style_net(3))
    registry = registry_in(folder)

    async def warm(model):
        pass

    async def reloaded():
        await registry.start(warm, Metrics(CollectorRegistry()))
        assert await registry.reload() == {"taken": [], "refused": [], "removed": []}
        listed(folder)
        assert await registry.reload() == {"taken": ["stylize/wave.safetensors"], "refused": [], "removed": []}
        kept = registry.entries["stylize/mosaic"].version
        save_net(folder, "mosaic", tiny_style_net(5))
        assert await registry.reload() == {"taken": [], "refused": ["stylize/mosaic.safetensors"], "removed": []}
        assert registry.entries["stylize/mosaic"].version == kept  # the old one stays

    asyncio.run(reloaded())


@pytest.mark.parametrize(
    ("sums", "message"),
    [
        (None, "the manifest cannot be read"),
        ("rubbish\n", "expected the output of sha256sum"),
        ("0" * 64 + "  stylize/mosaic.safetensors\n" * 2, "is malformed"),
        ("", "not listed in"),
    ],
)
def test_without_a_list_nothing_is_served(folder, sums, message):
    (folder / "SHA256SUMS").unlink() if sums is None else (folder / "SHA256SUMS").write_text(sums)
    with pytest.raises(StartupError, match=message):
        registry_in(folder)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl here")
def test_a_list_counts_only_where_the_key_has_signed_it(folder, tmp_path_factory):
    keys = tmp_path_factory.mktemp("keys")

    def openssl(*arguments):
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)

    for name in ("ours", "theirs"):
        openssl("genpkey", "-algorithm", "ed25519", "-out", keys / f"{name}.pem")
        openssl("pkey", "-in", keys / f"{name}.pem", "-pubout", "-out", keys / f"{name}.pub")
    sums, signature = folder / "SHA256SUMS", folder / "SHA256SUMS.sig"

    def signed(by):
        openssl("pkeyutl", "-sign", "-inkey", keys / f"{by}.pem", "-rawin", "-in", sums, "-out", signature)

    settings = Settings(checkpoints=folder, checkpoint_public_key=keys / "ours.pub")
    with pytest.raises(StartupError, match=r"SHA256SUMS\.sig: No such file"):
        registry_from_settings(settings)
    signed("theirs")
    with pytest.raises(StartupError, match="is not a signature of SHA256SUMS by the configured key"):
        registry_from_settings(settings)
    signed("ours")
    assert len(registry_from_settings(settings).entries) == 2
    sums.write_text(sums.read_text().upper())
    with pytest.raises(StartupError, match="is not a signature"):
        registry_from_settings(settings)


def test_an_invalid_public_key_stops_the_start(folder, tmp_path):
    (tmp_path / "no.pub").write_text("not a key")
    with pytest.raises(StartupError, match=r"IMPASTO_CHECKPOINT_PUBLIC_KEY=.*: cannot be read"):
        registry_from_settings(Settings(checkpoints=folder, checkpoint_public_key=tmp_path / "no.pub"))
