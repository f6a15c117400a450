"""A loss network without ImageNet, and photographs made in code."""

from pathlib import Path

import pytest
import safetensors.torch
import torch
from PIL import Image
from torchvision.models.vgg import cfgs, make_layers

from tests.conftest import picture


def random_vgg16(seed: int = 0) -> dict[str, torch.Tensor]:
    """VGG16's convolutions with seeded He-initialised weights: random features still tell pictures apart."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, tensor in make_layers(cfgs["D"], batch_norm=False).state_dict().items():
        noise = torch.randn(tensor.shape, generator=generator)
        weights[f"features.{name}"] = noise * (2 / tensor[0].numel()) ** 0.5 if tensor.ndim == 4 else 0 * noise
    return weights


@pytest.fixture(scope="session")
def vgg16_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vgg16") / "vgg16.safetensors"
    safetensors.torch.save_file(random_vgg16(), path)
    return path


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    for seed, size in enumerate([(60, 80), (90, 70), (64, 64), (100, 120)]):
        Image.fromarray(picture(*size, seed=seed)).save(folder / f"{seed}.png")
    return folder


@pytest.fixture(scope="session")
def style_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("style") / "checks.png"
    checks = torch.arange(64)[:, None] // 8 + torch.arange(64)[None, :] // 8
    Image.fromarray(((checks % 2) * 255).to(torch.uint8).numpy()).save(path)
    return path
