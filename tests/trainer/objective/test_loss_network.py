import os

import pytest
import safetensors.torch
import torch
import torchvision
from torchvision.models import VGG16_Weights

from nets.golden import golden_input
from tests.trainer.conftest import random_vgg16
from trainer.errors import TrainerError
from trainer.objective.loss_network import ENVIRONMENT_VARIABLE, LAYERS, LossNetwork, load_loss_network

SHAPES = {
    "relu1_2": (64, 32, 48),
    "relu2_2": (128, 16, 24),
    "relu3_3": (256, 8, 12),
    "relu4_2": (512, 4, 6),
    "relu4_3": (512, 4, 6),
    "relu5_1": (512, 2, 3),
}


def independent_features(weights, x):
    """The same, the other way: torchvision's own model and normalisation, cut at each layer."""
    model = torchvision.models.vgg16()
    model.load_state_dict(weights, strict=False)
    normalise = VGG16_Weights.IMAGENET1K_V1.transforms()
    x = torchvision.transforms.functional.normalize(x, normalise.mean, normalise.std)
    return {name: model.features[: index + 1].eval()(x) for name, index in LAYERS.items()}


def test_features_are_those_of_torchvisions_model():
    weights = random_vgg16()
    with torch.no_grad():
        expected = independent_features(weights, golden_input())
        found = LossNetwork(weights)(golden_input(), list(LAYERS))
    assert {name: tuple(value.shape[1:]) for name, value in found.items()} == SHAPES
    for name, value in expected.items():
        assert torch.allclose(found[name], value, atol=1e-4), name


def test_gradients_reach_the_picture_and_leave_the_weights_alone():
    network = LossNetwork(random_vgg16())
    x = golden_input().requires_grad_()
    network(x, ["relu2_2"])["relu2_2"].sum().backward()
    assert x.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_come_from_a_file_or_the_environment(tmp_path, monkeypatch, suffix):
    path = tmp_path / f"vgg{suffix}"
    weights = random_vgg16() | {"classifier.0.bias": torch.zeros(3)}
    (safetensors.torch.save_file if suffix == ".safetensors" else torch.save)(weights, path)
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(path))
    assert load_loss_network().digest == load_loss_network(path).digest == LossNetwork(weights).digest


def test_missing_and_broken_weights_say_what_to_do(tmp_path, monkeypatch):
    with pytest.raises(TrainerError, match="no VGG16 weights at"):
        load_loss_network(tmp_path / "none.pth")
    (tmp_path / "junk.pth").write_bytes(b"junk")
    with pytest.raises(TrainerError, match="cannot be read"):
        load_loss_network(tmp_path / "junk.pth")
    safetensors.torch.save_file({"features.0.weight": torch.zeros(1)}, tmp_path / "few.safetensors")
    with pytest.raises(TrainerError, match=r"lack features\.0\.bias"):
        load_loss_network(tmp_path / "few.safetensors")
    wrong = random_vgg16() | {"features.0.bias": torch.zeros(3)}
    with pytest.raises(TrainerError, match="do not fit"):
        LossNetwork(wrong)


def test_without_a_file_or_a_network_the_message_says_what_to_fetch(tmp_path, monkeypatch):
    monkeypatch.delenv(ENVIRONMENT_VARIABLE, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))  # nothing cached
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
    with pytest.raises(TrainerError, match=r"--vgg16 FILE or IMPASTO_VGG16=FILE"):
        load_loss_network()


@pytest.mark.skipif(ENVIRONMENT_VARIABLE not in os.environ, reason=f"{ENVIRONMENT_VARIABLE} names no VGG16 weights")
def test_the_real_weights_are_imagenets():
    network = load_loss_network()
    first = network.features[0].weight
    # conv1_1 of IMAGENET1K_V1, as torchvision documents it: its digest is in every style's card
    assert first.shape == (64, 3, 3, 3)
    with torch.no_grad():
        found = network(golden_input(), list(LAYERS))
        path = os.environ[ENVIRONMENT_VARIABLE]
        weights = safetensors.torch.load_file(path) if path.endswith(".safetensors") else torch.load(path)
        expected = independent_features(weights, golden_input())
    for name, value in expected.items():
        assert torch.allclose(found[name], value, atol=1e-3, rtol=1e-3), name
