"""The measures of a style, against values worked out by hand."""

import pytest
import torch

from tests.trainer.conftest import random_vgg16
from trainer.evaluation.style_distance import CONTENT_LAYERS, STYLE_LAYERS, StyleMeter, grid, luminance, measure_style
from trainer.objective.loss_network import LossNetwork


@pytest.fixture(scope="module")
def network():
    return LossNetwork(random_vgg16())


def noise(seed, size=(48, 48)):
    return torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(seed))


def test_the_painting_itself_is_at_no_distance_from_its_style(network):
    painting, photograph = noise(0), noise(1)
    found = StyleMeter(network, painting).measure("a", painting, photograph)
    assert list(found.style) == list(STYLE_LAYERS)
    assert list(found.content) == list(CONTENT_LAYERS)
    assert all(distance == pytest.approx(0, abs=1e-6) for distance in found.style.values())
    assert all(distance > 0.01 for distance in found.content.values())


def test_the_photograph_itself_keeps_its_content_and_its_contrast(network):
    photograph = noise(1)
    found = StyleMeter(network, 0.5 * noise(0)).measure("a", photograph, photograph)
    assert all(distance == pytest.approx(0, abs=1e-6) for distance in found.content.values())
    assert found.contrast == pytest.approx(1)
    assert all(distance > 0.1 for distance in found.style.values())


def test_half_the_contrast_is_a_half(network):
    photograph = noise(1)
    assert StyleMeter(network, noise(0)).measure("a", 0.5 * photograph, photograph).contrast == pytest.approx(0.5)


def test_the_last_entry_is_the_mean(network):
    meter, photographs = StyleMeter(network, noise(0)), [("a", noise(1)), ("b", noise(2))]
    first, second, mean = measure_style(lambda x: 2 * x - 0.5, meter, photographs)
    assert (first.image, second.image, mean.image) == ("a", "b", "mean")
    assert mean.style["relu3_3"] == pytest.approx((first.style["relu3_3"] + second.style["relu3_3"]) / 2)
    assert mean.grid2 == pytest.approx((first.grid2 + second.grid2) / 2)


def test_luminance_weighs_green_most():
    colours = torch.eye(3)[:, :, None, None]
    assert luminance(colours).flatten().tolist() == pytest.approx([0.299, 0.587, 0.114])


def test_a_grid_is_found_and_its_strength_is_the_one_worked_out_by_hand():
    """1 at even rows and columns, 1/2 at odd ones, else 0: |Laplacian| is 4, 2, and 3 elsewhere, so 4 / 2."""
    y = torch.zeros(1, 3, 34, 34)
    y[..., ::2, ::2], y[..., 1::2, 1::2] = 1.0, 0.5
    assert grid(y, 2) == pytest.approx(2.0)


def test_noise_has_no_grid():
    assert grid(noise(0, (400, 400)), 2) < 1.02
    assert grid(noise(0, (400, 400)), 4) < 1.05
