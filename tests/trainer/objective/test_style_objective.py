"""The objective at two scales, against terms put together by hand."""

import pytest
import torch
import torch.nn.functional as F

from tests.trainer.conftest import random_vgg16
from trainer.config import StyleLoss
from trainer.objective.loss_network import LossNetwork
from trainer.objective.losses import gram
from trainer.objective.style_objective import StyleObjective

LOSS = StyleLoss(
    content_layer="relu2_2",
    content_weight=3.0,
    content_scale="relative",
    style_weight=2.0,
    style_layers={"relu1_2": 1.0},
    half_layers={"relu2_2": 0.5},
    half_content_layer="relu1_2",
)


def noise(seed, size=(32, 48)):
    return torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def network():
    return LossNetwork(random_vgg16())


def by_hand(network, scale):
    """The content and the style term at one scale, from their definitions."""
    pictures = [noise(seed) for seed in (0, 1, 2)]  # the picture, its content image, the painting
    content_layer, style_layer, weight = ("relu2_2", "relu1_2", 1.0) if scale == "full" else ("relu1_2", "relu2_2", 0.5)
    if scale == "half":
        pictures = [F.avg_pool2d(x, 2) for x in pictures]
    picture, content, painting = (network(x, [content_layer, style_layer]) for x in pictures)
    kept = content[content_layer]
    distance = ((picture[content_layer] - kept) ** 2).mean() / ((kept - kept.mean()) ** 2).mean()
    a, b = gram(picture[style_layer]), gram(painting[style_layer])
    return {"content": 3.0 * distance, "style": 2.0 * weight * ((a - b) ** 2).sum() / (b**2).sum()}


@pytest.mark.parametrize("scales", [("full",), ("half",), None])
def test_terms_are_those_of_the_scales_that_are_asked_for(network, scales):
    objective = StyleObjective(network, LOSS, noise(2))
    assert objective.scales == ("full", "half")
    terms = objective.terms(noise(0), objective.content(noise(1), scales))
    parts = [by_hand(network, scale) for scale in scales or ("full", "half")]
    for name in ("content", "style"):
        assert terms[name].item() == pytest.approx(sum(part[name].item() for part in parts), rel=1e-4)


def test_without_half_layers_there_is_one_scale(network):
    objective = StyleObjective(network, LOSS.model_copy(update={"half_layers": {}}), noise(2))
    assert objective.scales == ("full",)
    terms = objective.terms(noise(0), objective.content(noise(1)))
    assert terms["style"].item() == pytest.approx(by_hand(network, "full")["style"].item(), rel=1e-4)


def test_the_painting_and_the_photograph_themselves_cost_nothing(network):
    picture = noise(2)
    objective = StyleObjective(network, LOSS, picture)
    terms = objective.terms(picture, objective.content(picture))
    assert terms["style"].item() == pytest.approx(0, abs=1e-6)
    assert terms["content"].item() == pytest.approx(0, abs=1e-6)
