"""What is refused at start, and what is served all the same."""

import dataclasses

import httpx
import pytest
import torch

from nets import checkpoint
from service.app import create_app
from service.errors import StartupError
from service.models.registry import load_registry
from service.settings import Settings, read_settings
from tests.conftest import encoded, picture, running, save_net, tiny_style_net, tiny_upscaler


def test_a_bad_checkpoint_is_named_and_the_others_serve(tmp_path):
    good = save_net(tmp_path, "mosaic", tiny_style_net())
    save_net(tmp_path, "x2", tiny_upscaler(2))
    (tmp_path / "stylize" / "cut.safetensors").write_bytes(good.read_bytes()[:1000])
    (tmp_path / "stylize" / "other_name.safetensors").write_bytes(good.read_bytes())
    (tmp_path / "upscale" / "mosaic.safetensors").write_bytes(good.read_bytes())
    (tmp_path / "stylize" / "notes.txt").write_text("not a checkpoint, not looked at")
    net = tiny_style_net()
    wrong = dataclasses.replace(checkpoint.make_card(net, "wrong"), golden=[0.0] * 72)
    checkpoint.save(tmp_path / "stylize" / "wrong.safetensors", net, wrong)
    other = dataclasses.replace(checkpoint.make_card(net, "foreign"), architecture="unet")
    checkpoint.save(tmp_path / "stylize" / "foreign.safetensors", net, other)
    registry = load_registry(tmp_path)
    assert list(registry.models) == ["stylize/mosaic", "upscale/x2"]
    reasons = {
        "stylize/cut.safetensors": "not a whole safetensors file",
        "stylize/foreign.safetensors": "architecture 'unet'",
        "stylize/other_name.safetensors": "the card says stylize/mosaic, the path says stylize/other_name",
        "stylize/wrong.safetensors": "golden output differs",
        "upscale/mosaic.safetensors": "the card says stylize/mosaic, the path says upscale/mosaic",
    }
    assert set(registry.refused) == set(reasons)
    for file, reason in reasons.items():
        assert reason in registry.refused[file]


def test_an_upscaler_must_be_named_by_its_factor(tmp_path):
    save_net(tmp_path, "x4", tiny_upscaler(2))
    with pytest.raises(StartupError, match="expected the name x2 or x2_something"):
        load_registry(tmp_path)


def test_a_perceptual_upscaler_is_reached_by_detail_and_is_no_factor_of_its_own(tmp_path):
    faithful, perceptual = tiny_upscaler(2), tiny_upscaler(2, seed=1)
    save_net(tmp_path, "x2", faithful)
    save_net(tmp_path, "x2_perceptual", perceptual)
    save_net(tmp_path, "x4", tiny_upscaler(4))
    app = create_app(Settings(), load_registry(tmp_path))
    with running(app) as address, httpx.Client(base_url=address) as client:
        models = [
            client.post(f"/upscale?factor=2{query}", content=encoded(picture())).headers["impasto-model"]
            for query in ("", "&detail=0", "&detail=1")
        ]
        assert [model.split("@")[0] for model in models] == ["upscale/x2", "upscale/x2", "upscale/x2_perceptual"]
        unknown = client.post("/upscale?factor=5", content=encoded(picture())).json()
        assert unknown["expected"] == ["2", "4"]
        without = client.post("/upscale?factor=4&detail=1", content=encoded(picture())).json()
        assert (without["code"], without["parameter"]) == ("unknown_model", "detail")
        beyond = client.post("/upscale?factor=2&detail=2", content=encoded(picture())).json()
        assert (beyond["code"], beyond["parameter"]) == ("invalid_parameter", "detail")


@pytest.mark.parametrize(("make", "message"), [(False, "no such folder"), (True, "no usable checkpoint")])
def test_nothing_to_serve_is_an_error(tmp_path, make, message):
    folder = tmp_path / "empty"
    if make:
        folder.mkdir()
    with pytest.raises(StartupError, match=message):
        load_registry(folder)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "70000"),
        ("DEVICE", "gpu"),
        ("PRECISION", "int8"),
        ("MAX_PIXELS", "0"),
        ("MAX_BODY_BYTES", "32MB"),
        ("LOG_LEVEL", "loud"),
    ],
)
def test_a_wrong_setting_is_refused_by_key_and_value(monkeypatch, name, value):
    monkeypatch.setenv(f"IMPASTO_{name}", value)
    with pytest.raises(StartupError) as caught:
        read_settings()
    assert f"IMPASTO_{name}='{value}'" in str(caught.value)


def test_settings_come_from_the_environment_and_cannot_change(monkeypatch):
    monkeypatch.setenv("IMPASTO_MAX_REQUESTS", "7")
    settings = read_settings(port=1234)
    assert (settings.max_requests, settings.port) == (7, 1234)
    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_refused(checkpoints):
    with pytest.raises(StartupError, match=r"IMPASTO_DEVICE=cuda:1: this machine shows 0 CUDA devices"):
        create_app(Settings(device="cuda:1"), load_registry(checkpoints))


def test_half_precision_on_a_cpu_is_refused(checkpoints):
    with pytest.raises(StartupError, match="IMPASTO_PRECISION=fp16"):
        create_app(Settings(device="cpu", precision="fp16"), load_registry(checkpoints))


def test_a_network_that_fails_its_warm_up_is_refused_and_the_others_serve(tmp_path):
    save_net(tmp_path, "mosaic", tiny_style_net())
    save_net(tmp_path, "x2", tiny_upscaler(2))
    registry = load_registry(tmp_path)
    torch.nn.init.constant_(registry.models["stylize/mosaic"].net.output.bias, torch.nan)
    app = create_app(Settings(device="cpu", precision="auto"), registry)
    with running(app) as address:
        listing = httpx.get(f"{address}/models", trust_env=False).json()
        assert [model["model"] for model in listing["models"]] == ["upscale/x2"]
        assert "failed its warm-up" in listing["refused"][0]["reason"]
