"""A trunk in a file of its own, and checkpoints of styles that name it."""

import json

import pytest
import safetensors.torch
import torch

from nets import checkpoint
from nets.checkpoint import CheckpointError, load, read_card
from nets.style_trunk import StyleTrunkConfig, StyleTrunkNet
from nets.trunk import METADATA_KEY, dumps_trunk, read_trunk
from tests.conftest import save_net
from tests.nets.test_style_trunk import in_another_style, tiny_trunk_net


def save_family(folder, names=("checks", "dots"), trunk="tiny", seed=0, training=None):
    """A model repository with a trunk and a style for each name, made as the trainer makes them."""
    first = tiny_trunk_net(seed)
    path = folder / "trunks" / f"{trunk}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(dumps_trunk(first, trunk))
    shared = read_trunk(path)
    for number, name in enumerate(names):
        net = in_another_style(first, number)
        net.load_state_dict({**net.state_dict(), **shared.weights})
        card = checkpoint.make_card(
            net, name, trunk=shared.reference, license="CC0-1.0", source="made in a test", training=training or {}
        )
        checkpoint.save(folder / "stylize" / f"{name}.safetensors", net, card)
    return path


def test_a_style_is_a_small_file_and_comes_back_as_it_was_saved(tmp_path):
    trunk = save_family(tmp_path)
    path = tmp_path / "stylize/checks.safetensors"
    assert path.stat().st_size < trunk.stat().st_size / 2
    loaded = load(path)
    assert isinstance(loaded.net, StyleTrunkNet)
    assert loaded.card.format_version == 2
    assert loaded.card.trunk == read_trunk(trunk).reference
    assert read_card(path)[0].trunk == loaded.card.trunk
    expected = in_another_style(tiny_trunk_net(0), 0)
    assert torch.equal(loaded.net.stem.norm.bias, expected.stem.norm.bias)
    assert torch.allclose(loaded.net.stem.conv.conv.weight, expected.stem.conv.conv.weight, atol=1e-3)  # float16


def test_styles_of_one_trunk_hold_its_weights_once_in_memory(tmp_path):
    save_family(tmp_path)
    first, second = (load(tmp_path / f"stylize/{name}.safetensors").net for name in ("checks", "dots"))
    for net in (first, second):
        net.to(memory_format=torch.channels_last)  # what a worker does
    assert first.down2.conv.conv.weight.data_ptr() == second.down2.conv.conv.weight.data_ptr()


def test_a_network_with_its_own_convolutions_is_a_whole_file_of_format_1(tmp_path):
    path = save_net(tmp_path, "alone", tiny_trunk_net())
    loaded = load(path)
    assert (loaded.card.format_version, loaded.card.trunk) == (1, None)
    assert torch.equal(loaded.net.stem.conv.conv.weight, tiny_trunk_net().stem.conv.conv.weight)


def test_the_same_trunk_gives_the_same_bytes():
    assert dumps_trunk(tiny_trunk_net(), "tiny") == dumps_trunk(tiny_trunk_net(), "tiny")


def without_the_file(path):
    path.unlink()


def of_another_training(path):
    path.write_bytes(dumps_trunk(tiny_trunk_net(seed=7), "tiny"))


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-100])


def of_another_architecture(path):
    path.write_bytes(dumps_trunk(StyleTrunkNet(StyleTrunkConfig(width=8, residual_blocks=1)), "tiny"))


def with_a_tensor_missing(path):
    card = json.dumps({"name": "tiny", "config": {"width": 4, "residual_blocks": 1}})
    path.write_bytes(safetensors.torch.save({"stem.conv.conv.weight": torch.zeros(4, 16, 3, 3)}, {METADATA_KEY: card}))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (without_the_file, "trunk tiny@sha256:[0-9a-f]{64} is expected at .*trunks/tiny.safetensors: No such file"),
        (of_another_training, "holds trunk tiny@sha256:[0-9a-f]{64}, expected tiny@sha256:"),
        (of_another_architecture, "holds trunk tiny@sha256:[0-9a-f]{64}, expected tiny@sha256:"),
        (cut_short, "tiny.safetensors is not a trunk"),
        (with_a_tensor_missing, "is missing, expected"),
    ],
)
def test_a_style_whose_trunk_cannot_be_used_is_refused_with_the_reason(tmp_path, damage, reason):
    damage(save_family(tmp_path))
    with pytest.raises(CheckpointError, match=reason):
        load(tmp_path / "stylize/checks.safetensors")


def test_a_trunk_is_never_looked_for_outside_of_its_folder(tmp_path):
    net = tiny_trunk_net()
    card = checkpoint.make_card(net, "checks", trunk="../../etc@sha256:" + "0" * 64)
    path = tmp_path / "stylize/checks.safetensors"
    checkpoint.save(path, net, card)
    with pytest.raises(CheckpointError, match="expected NAME@sha256:DIGEST"):
        load(path)
