"""Small real parts: tiny networks with seeded weights, images made in code, a real service on a real port."""

import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
import uvicorn
from fastapi import FastAPI
from PIL import Image
from torch import nn

from nets import checkpoint
from nets.style_transfer import StyleTransferConfig, StyleTransferNet
from nets.super_resolution import SuperResolutionConfig, SuperResolutionNet
from service.app import create_app
from service.http.connection_limits import protocol_of
from service.models.registry import load_registry
from service.settings import Settings

# For services within the tests' own process. Processes that decode have tests of their own (test_sandbox.py), and
# whatever the tests start as a process decodes as it does for users.
os.environ.setdefault("IMPASTO_DECODER", "thread")


@pytest.fixture(autouse=True)
def seeded_generator() -> None:
    """Draw the same numbers in every run, alone or among others."""
    torch.manual_seed(0)


def seeded(net: nn.Module, seed: int) -> nn.Module:
    """Every weight drawn anew, so that no layer is left at zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    return net.eval()


def tiny_style_net(seed: int = 0) -> nn.Module:
    return seeded(StyleTransferNet(StyleTransferConfig(width=4, residual_blocks=1)), seed)


def tiny_upscaler(factor: int, seed: int = 0) -> nn.Module:
    return seeded(SuperResolutionNet(SuperResolutionConfig(factor=factor, width=4, residual_blocks=1)), seed)


def save_net(folder: Path, name: str, net: nn.Module) -> Path:
    """Put a network where the service looks for it."""
    card = checkpoint.make_card(net, name, license="CC0-1.0", source="made in a test")
    path = folder / card.task / f"{name}.safetensors"
    checkpoint.save(path, net, card)
    return path


def picture(height: int = 40, width: int = 60, seed: int = 0) -> np.ndarray:
    """uint8 (H, W, 3): a smooth gradient with some noise, so that JPEG and orientation can be told."""
    y, x = np.mgrid[0:height, 0:width]
    base = np.stack([255 * x / width, 255 * y / height, 128 + 0 * x], axis=-1)
    noise = np.random.default_rng(seed).normal(0, 6, base.shape)
    return (base + noise).clip(0, 255).astype(np.uint8)


def encoded(pixels: np.ndarray, kind: str = "png", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind.upper(), **options)
    return buffer.getvalue()


def decoded(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


@contextmanager
def running(app: FastAPI) -> Iterator[str]:
    """Serve `app` on a free port of loopback, in a thread; the address."""
    state = app.state
    config = uvicorn.Config(
        app,
        port=0,
        http=protocol_of(state.settings, state.metrics),
        h11_max_incomplete_event_size=state.settings.max_header_bytes,
        log_config=None,
        access_log=False,
    )
    with listening(uvicorn.Server(config)) as address:
        yield address


@contextmanager
def listening(server: uvicorn.Server) -> Iterator[str]:
    """Run a server in a thread; the address."""
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the service did not start"
            thread.join(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository with two styles and two factors."""
    folder = tmp_path_factory.mktemp("checkpoints")
    save_net(folder, "mosaic", tiny_style_net(1))
    save_net(folder, "starry_night", tiny_style_net(2))
    save_net(folder, "x2", tiny_upscaler(2))
    save_net(folder, "x4", tiny_upscaler(4))
    return folder


@pytest.fixture(scope="session")
def app(checkpoints: Path) -> FastAPI:
    """A service in float32, with small limits, over the tiny networks."""
    settings = Settings(
        checkpoints=checkpoints,
        device="cpu",
        precision="fp32",
        max_body_bytes=200_000,
        max_pixels=40_000,
        max_output_pixels=300_000,
        max_batch_items=4,
    )
    return create_app(settings, load_registry(checkpoints))


@pytest.fixture(scope="session")
def address(app: FastAPI) -> Iterator[str]:
    with running(app) as address:
        yield address


@pytest.fixture
def client(address: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address, timeout=30, trust_env=False) as client:
        yield client
