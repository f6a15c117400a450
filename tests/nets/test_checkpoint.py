import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from nets import checkpoint
from nets.checkpoint import METADATA_KEY, CheckpointError, load
from nets.golden import golden_input
from tests.conftest import tiny_style_net, tiny_upscaler

GOLDEN = Path(__file__).parent.parent / "golden"


def card_of(net, **changes):
    return dataclasses.replace(checkpoint.make_card(net, "tiny"), **changes)


def write(path, net, card):
    checkpoint.save(path, net, card)
    return path


def test_a_checkpoint_comes_back_whole(tmp_path):
    net = tiny_style_net()
    card = checkpoint.make_card(net, "tiny", license="CC0-1.0", training={"iterations": 3}, parent="sha256:00")
    version = checkpoint.save(tmp_path / "tiny.safetensors", net, card)
    loaded = load(tmp_path / "tiny.safetensors")
    assert loaded.card == card
    assert loaded.version == version
    assert loaded.config == net.config
    x = torch.rand(1, 3, 16, 16)
    assert torch.equal(loaded.net(x), net(x))
    assert not loaded.net.training


def test_the_same_net_gives_the_same_bytes():
    assert checkpoint.dumps(tiny_upscaler(2), card_of(tiny_upscaler(2))) == checkpoint.dumps(
        tiny_upscaler(2), card_of(tiny_upscaler(2))
    )


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("format1_stylize", "sha256:94babea2ca1718c3afdf68c49603dc006ec70ac781792d892d1b86c96e726deb"),
        ("format1_upscale", "sha256:d11bd2a4439a3709e2e76a195227ea4db6894a8ba13096a2d5da9ac6f18af959"),
    ],
)
def test_checkpoints_of_every_published_format_load_and_rewrite_to_the_same_bytes(name, version):
    path = GOLDEN / f"{name}.safetensors"
    loaded = load(path)
    assert loaded.version == version
    assert checkpoint.dumps(loaded.net, loaded.card) == path.read_bytes()


def test_the_golden_input_is_the_specified_formula():
    x = golden_input()
    assert x.shape == (1, 3, 32, 48)
    y, x_, c = np.mgrid[0:32, 0:48, 0:3]
    expected = ((17 * x_ + 31 * y + 59 * c + x_ * y) % 256 / 255).transpose(2, 0, 1)[None]
    assert np.allclose(x.numpy(), expected)


def test_only_one_metadata_key_so_that_the_order_cannot_change(tmp_path):
    path = write(tmp_path / "tiny.safetensors", tiny_style_net(), card_of(tiny_style_net()))
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert list(header["__metadata__"]) == [METADATA_KEY]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"golden": [0.0] * 72}, "golden output differs by"),
        ({"golden": [0.0]}, "golden output differs by inf"),
        ({"architecture": "vision_transformer"}, "architecture 'vision_transformer'"),
        ({"architecture": "super_resolution"}, "architecture 'super_resolution' \\('stylize'\\)"),
        ({"config": {"width": 8, "residual_blocks": 1}}, "weights or config do not fit"),
        ({"config": {"colour": "blue"}}, "unknown config key 'colour'"),
        ({"weights_sha256": "0" * 64}, "weights differ from their recorded digest"),
        ({"format_version": 3}, "format_version is 3, expected 1 or 2"),
        ({"format_version": 2}, "format_version 2 with trunk None"),
        ({"pixel_range": "0..255"}, "pixel_range is '0..255'"),
        ({"golden": None}, "malformed"),
        ({"golden": ["x"] * 72}, "malformed"),
        ({"config": None}, "malformed"),
        ({"architecture": ["style_transfer"]}, "malformed"),
        ({"parent": 5}, "parent is int"),
        ({"config": {"width": 1024, "residual_blocks": 1024}}, "weights or config do not fit"),
        ({"config": {"width": 4, "residual_blocks": 1, "output": "sigmoid"}}, "expected one of"),
    ],
)
def test_a_card_that_does_not_fit_is_refused_by_name(tmp_path, changes, reason):
    net = tiny_style_net()
    path = write(tmp_path / "tiny.safetensors", net, card_of(net, **changes))
    with pytest.raises(CheckpointError, match=reason) as caught:
        load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda data: data[: len(data) // 2], "not a whole safetensors file"),
        (lambda data: b"", "not a whole safetensors file"),
        (lambda data: b"PK\x03\x04 a pickle, perhaps", "not a whole safetensors file"),
        (lambda data: data[:-3] + bytes([data[-3] ^ 1]) + data[-2:], "recorded digest"),
        (lambda data: safetensors.torch.save({"w": torch.zeros(2)}), "not an Impasto checkpoint"),
        (lambda data: safetensors.torch.save({"w": torch.zeros(2)}, {METADATA_KEY: "{"}), "not JSON"),
        (lambda data: safetensors.torch.save({"w": torch.zeros(2)}, {METADATA_KEY: "[]"}), "format_version"),
        (
            lambda data: safetensors.torch.save({"w": torch.zeros(2)}, {METADATA_KEY: '{"format_version": 1}'}),
            "incomplete metadata",
        ),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, spoil, reason):
    net = tiny_style_net()
    path = write(tmp_path / "tiny.safetensors", net, card_of(net))
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(CheckpointError, match=reason):
        load(path)


def test_weights_of_another_type_are_refused_not_cast(tmp_path):
    net = tiny_style_net()
    card = card_of(net.half().float())
    path = write(tmp_path / "tiny.safetensors", net.half(), card)
    with pytest.raises(CheckpointError, match=r"is torch\.float16 .*, expected torch\.float32"):
        load(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"gone\.safetensors: cannot be read"):
        load(tmp_path / "gone.safetensors")


def test_a_failed_save_leaves_the_old_file_and_no_litter(tmp_path):
    net = tiny_style_net()
    path = write(tmp_path / "tiny.safetensors", net, card_of(net))
    before = path.read_bytes()
    with pytest.raises(TypeError):
        checkpoint.save(path, net, card_of(net, training={"not JSON": object()}))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
