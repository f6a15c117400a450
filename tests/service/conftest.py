"""Networks that change nothing, so that what is seen is what the service does to pictures."""

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import torch

from nets.super_resolution import SuperResolutionConfig, SuperResolutionNet
from service.app import create_app
from service.models.registry import load_registry
from service.settings import Settings
from tests.conftest import running, save_net, tiny_style_net


@pytest.fixture(scope="session")
def plain_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service whose x2 and x4 are nothing but bicubic: every weight is zero."""
    folder: Path = tmp_path_factory.mktemp("plain")
    save_net(folder, "mosaic", tiny_style_net())
    for factor in (2, 4):
        net = SuperResolutionNet(SuperResolutionConfig(factor=factor, width=4, residual_blocks=1)).eval()
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.zero_()
        save_net(folder, f"x{factor}", net)
    settings = Settings(checkpoints=folder, device="cpu", precision="fp32", max_frames=40, max_pixels=1_000_000)
    with running(create_app(settings, load_registry(folder))) as address:
        yield address


@pytest.fixture
def plain(plain_address: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=plain_address, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture
def upscaled(plain: httpx.Client) -> Callable[..., httpx.Response]:
    """Enlarge twice, by nothing but bicubic; keywords are query parameters."""

    def post(data: bytes, **parameters: object) -> httpx.Response:
        response = plain.post("/upscale", params={"factor": 2, **parameters}, content=data)
        assert response.status_code == 200, response.text
        return response

    return post


@pytest.fixture
def stylised(plain: httpx.Client) -> Callable[..., httpx.Response]:
    def post(data: bytes, **parameters: object) -> httpx.Response:
        response = plain.post("/stylize", params={"style": "mosaic", **parameters}, content=data)
        assert response.status_code == 200, response.text
        return response

    return post
