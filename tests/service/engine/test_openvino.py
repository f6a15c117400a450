"""IMPASTO_RUNTIME=openvino: what OpenVINO computes, what torch computes all the same, and what is refused at start."""

import dataclasses
import importlib.util

import httpx
import numpy as np
import pytest
import torch
from prometheus_client import CollectorRegistry

from nets.banded.bands import run_to_end
from nets.pixels import from_network, to_network
from nets.style_trunk import StyleTrunkConfig, StyleTrunkNet
from service.app import create_app
from service.errors import StartupError
from service.models.interpolation import blend
from service.models.registry import load_registry
from service.observability.metrics import Metrics
from service.settings import Settings
from tests.conftest import decoded, encoded, picture, running, save_net, seeded, tiny_upscaler
from tests.nets.test_style_trunk import tiny_trunk_net
from tests.nets.test_trunk import save_family

INSTALLED = importlib.util.find_spec("openvino") is not None
needs_openvino = pytest.mark.skipif(not INSTALLED, reason="make test-openvino")
NAMES = ("checks", "dots")


def settings(**more):
    return Settings(device="cpu", precision="fp32", runtime="openvino", **more)


def furthest(a, b):
    return int(np.abs(a.astype(int) - b.astype(int)).max())


@torch.inference_mode()
def painted(model, pixels):
    return from_network(model.net(to_network([pixels])))[0]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two styles of a trunk, a style of its own, and an upscaler, by name."""
    folder = tmp_path_factory.mktemp("checkpoints")
    save_family(folder, NAMES)
    save_net(folder, "alone", tiny_trunk_net(5))
    save_net(folder, "x2", tiny_upscaler(2))
    return {key.partition("/")[2]: model for key, model in load_registry(folder).models.items()}


@pytest.fixture
def metrics():
    return Metrics(CollectorRegistry())


def runtime(metrics, precision="fp32"):
    from service.engine.openvino_runtime import OpenVinoRuntime  # noqa: PLC0415  # needs an optional extra

    return OpenVinoRuntime(precision, 2, metrics)


def fallbacks(metrics, reason):
    return metrics.registry.get_sample_value("impasto_runtime_fallbacks_total", {"reason": reason})


def in_openvino(metrics, key):
    return metrics.registry.get_sample_value("impasto_model_in_openvino", {"model": key})


@needs_openvino
def test_a_batch_of_styles_and_mixtures_gives_each_its_own(models, metrics):
    styles = [models["checks"], models["dots"], blend([models["checks"], models["dots"]], [0.25, 0.75])]
    pictures = [picture(96, 81, seed=i) for i in range(3)]
    steps = runtime(metrics).steps(styles, pictures)
    assert steps is not None
    for model, pixels, output in zip(styles, pictures, run_to_end(steps), strict=True):
        assert furthest(output, painted(model, pixels)) <= 1
    assert [in_openvino(metrics, model.key) for model in styles] == [1.0, 1.0, None]
    assert (fallbacks(metrics, "golden"), fallbacks(metrics, "failed")) == (0, 0)


@needs_openvino
def test_bfloat16_is_near_float32(models, metrics):
    """In fact float32, where the CPU has no instructions for it."""
    steps = runtime(metrics, "bf16").steps([models["checks"]], [picture(96, 81)])
    assert steps is not None
    assert np.abs(run_to_end(steps)[0].astype(int) - painted(models["checks"], picture(96, 81))).mean() < 6


@needs_openvino
def test_between_two_pictures_of_a_batch_there_is_a_pause(models, metrics):
    steps = runtime(metrics).steps([models["checks"]] * 3, [picture(40, 40)] * 3)
    assert len(list(steps)) == 2


@needs_openvino
@pytest.mark.parametrize("size", [(31, 90), (90, 31), (1, 1), (1000, 2001)])
def test_very_small_and_large_pictures_are_left_to_torch(models, metrics, size):
    assert runtime(metrics).steps([models["checks"]], [np.zeros((*size, 3), np.uint8)]) is None


@needs_openvino
def test_other_networks_are_left_to_torch(models, metrics):
    both = runtime(metrics)
    assert [both.steps([models[name]], [picture(64, 64)]) for name in ("alone", "x2")] == [None, None]
    assert in_openvino(metrics, "upscale/x2") is None


@needs_openvino
def test_a_style_whose_golden_output_differs_is_left_to_torch(models, metrics, caplog):
    dots = models["dots"]
    odd = dataclasses.replace(dots, card=dataclasses.replace(dots.card, golden=[v + 0.01 for v in dots.card.golden]))
    both = runtime(metrics)
    assert both.steps([odd], [picture(64, 64)]) is None
    assert both.steps([models["checks"], odd], [picture(64, 64)] * 2) is None
    assert both.steps([models["checks"]], [picture(64, 64)]) is not None
    assert [in_openvino(metrics, f"stylize/{name}") for name in NAMES] == [1.0, 0.0]
    assert fallbacks(metrics, "golden") == 1
    assert "golden output differs in OpenVINO" in caplog.text


@needs_openvino
def test_a_style_that_does_not_fit_the_compiled_trunk_is_left_to_torch(models, metrics):
    wider = seeded(StyleTrunkNet(StyleTrunkConfig(width=6, residual_blocks=1)), 0)
    both, odd = runtime(metrics), dataclasses.replace(models["dots"], net=wider)
    assert both.steps([models["checks"]], [picture(64, 64)]) is not None
    assert both.steps([odd], [picture(64, 64)]) is None
    assert fallbacks(metrics, "failed") == 1


@needs_openvino
def test_a_service_returns_torchs_pictures_and_tells_its_runtime(tmp_path):
    save_family(tmp_path, NAMES)
    registry = load_registry(tmp_path)
    with running(create_app(settings(), registry, threads=2)) as address:
        for size in ((1, 1), (31, 50), (33, 32), (211, 150)):
            url = f"{address}/stylize?format=png&style=checks"
            answer = httpx.post(url, content=encoded(picture(*size)), timeout=60, trust_env=False)
            assert answer.status_code == 200, answer.text
            assert furthest(decoded(answer.content), painted(registry.models["stylize/checks"], picture(*size))) <= 1
        shown = httpx.get(f"{address}/metrics", trust_env=False).text
    assert 'runtime="openvino"' in shown
    assert 'impasto_model_in_openvino{model="stylize/checks"} 1.0' in shown
    assert "impasto_passes_beside_total 0.0" in shown


@pytest.mark.skipif(INSTALLED, reason="the package is installed")
def test_without_the_package_it_is_refused_at_start(tmp_path):
    save_family(tmp_path, NAMES)
    with pytest.raises(StartupError, match=r"IMPASTO_RUNTIME=openvino: needs the package openvino: pip install"):
        create_app(settings(), load_registry(tmp_path))


def test_side_workers_are_refused_beside_it(tmp_path):
    save_family(tmp_path, NAMES)
    with pytest.raises(StartupError, match=r"IMPASTO_PICTURES_AT_ONCE=2: .* expected 0 or 1"):
        create_app(settings(pictures_at_once=2), load_registry(tmp_path))
