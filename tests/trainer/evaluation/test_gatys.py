import pytest
import torch

from nets.pixels import to_network
from tests.conftest import picture
from tests.trainer.conftest import random_vgg16
from trainer.config import StyleLoss
from trainer.evaluation.gatys import optimise, optimise_once
from trainer.objective.loss_network import LossNetwork
from trainer.objective.style_objective import StyleObjective

CONTENT = to_network([picture(32, 40)])


@pytest.fixture(scope="module")
def objective():
    loss = StyleLoss(content_layer="relu2_2", style_weight=3.0, style_layers={"relu1_2": 1.0, "relu2_2": 1.0})
    return StyleObjective(LossNetwork(random_vgg16()), loss, to_network([255 - picture(40, 40, seed=3)]))


@pytest.mark.parametrize("start", ["noise", "content"])
def test_the_objective_falls_and_is_that_of_the_picture(objective, start):
    result = optimise(objective, CONTENT, 15, start)
    assert len(result.objective) == len(result.seconds) == 15
    assert result.objective == sorted(result.objective, reverse=True)
    assert result.objective[-1] < 0.5 * result.objective[0]
    assert result.picture.shape == CONTENT.shape
    assert 0.0 <= result.picture.min() <= result.picture.max() <= 1.0
    with torch.no_grad():
        total = sum(objective.terms(result.picture, objective.content(CONTENT)).values()).item()
    assert total == pytest.approx(result.objective[-1], rel=0.1)  # but for the colours that were cut off


def test_the_first_value_from_content_has_no_content_loss(objective):
    with torch.no_grad():
        terms = objective.terms(CONTENT, objective.content(CONTENT))
    assert terms["content"].item() == 0.0
    assert optimise(objective, CONTENT, 1, "content").objective == [pytest.approx(terms["style"].item(), rel=1e-4)]


def test_what_was_optimised_once_is_not_again(objective, tmp_path):
    first = optimise_once(tmp_path, objective, CONTENT, 3, "noise")
    again = optimise_once(tmp_path, objective, CONTENT, 3, "noise")
    assert again.seconds == first.seconds  # a clock would have told otherwise
    assert again.objective == first.objective
    assert torch.equal(again.picture, first.picture)
    optimise_once(tmp_path, objective, CONTENT, 2, "noise")
    optimise_once(tmp_path, objective, CONTENT.flip(3), 3, "noise")
    assert len(list(tmp_path.iterdir())) == 3


def test_a_seed_gives_the_same_picture_again(objective):
    first, again, other = (optimise(objective, CONTENT, 4, "noise", seed).picture for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
