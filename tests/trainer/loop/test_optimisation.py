import pytest
import torch
from torch import nn

from trainer.config import Optimiser
from trainer.errors import TrainerError
from trainer.loop.optimisation import Optimisation, rate_at


class OneWeight(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(value))


def test_the_rate_is_flat_then_falls_along_a_cosine_to_a_fiftieth():
    settings = Optimiser(learning_rate=1.0, decay_from=0.5)
    assert [rate_at(i, 100, settings) for i in (0, 49, 50)] == [1.0, 1.0, 1.0]
    assert rate_at(75, 100, settings) == pytest.approx(0.02 + 0.98 / 2)
    assert rate_at(100, 100, settings) == pytest.approx(0.02)
    assert rate_at(99, 100, Optimiser(learning_rate=1.0)) == 1.0


@pytest.mark.parametrize("clip_norm", [0.0, 1.0])
def test_an_infinite_gradient_stops_the_run_and_leaves_the_weights(clip_norm):
    net = OneWeight(0.0)
    optimisation = Optimisation(net, Optimiser(clip_norm=clip_norm), 10, None)
    with pytest.raises(TrainerError, match="the gradient's norm is inf at iteration 3"):
        optimisation.step(net.weight.sqrt(), 3)  # its slope at 0 is infinite, its value is not
    assert net.weight.item() == 0.0


def test_adams_first_step_is_the_learning_rate_and_the_average_follows():
    net = OneWeight(1.0)
    optimisation = Optimisation(net, Optimiser(learning_rate=0.1, average=0.9), 10, None)
    assert optimisation.step(3 * net.weight, 0) == pytest.approx(3.0)
    assert net.weight.item() == pytest.approx(0.9)
    optimisation.step(3 * net.weight, 1)
    average = optimisation.result().weight.item()
    assert net.weight.item() < average < 1.0


def test_a_run_cannot_be_shortened():
    state = Optimisation(OneWeight(1.0), Optimiser(), 10, None).state(7)
    assert Optimisation(OneWeight(1.0), Optimiser(), 10, state).first == 7
    with pytest.raises(TrainerError, match="has 7 iterations already"):
        Optimisation(OneWeight(1.0), Optimiser(), 5, state)
