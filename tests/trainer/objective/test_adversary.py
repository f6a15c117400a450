"""An adversary learns to tell photographs from outputs, and rewards outputs that deceive it."""

import copy
import math

import pytest
import torch

from trainer.objective.adversary import Adversary, UNetDiscriminator

CPU = torch.device("cpu")


def smooth_and_woven():
    """The same greys, and with a weave of two pixels."""
    generator = torch.Generator().manual_seed(0)
    smooth = torch.rand(4, 3, 1, 1, generator=generator).expand(4, 3, 16, 16) * 0.6 + 0.2
    weave = 0.1 * (-1.0) ** torch.arange(16)
    return smooth, smooth + weave


def test_a_guess_costs_two_log_two_and_learning_costs_less():
    torch.manual_seed(0)
    truth, output = smooth_and_woven()
    adversary = Adversary(CPU, warm_up=1)
    assert float(adversary.loss(output)) == 0  # it has not learned anything yet
    losses = [float(adversary.learn(output, truth)) for _ in range(60)]
    assert losses[0] == pytest.approx(2 * math.log(2), abs=0.1)
    assert losses[-1] < 0.5
    assert float(adversary.loss(output)) > float(adversary.loss(truth)) + 1


def test_its_gradient_leads_away_from_the_weave():
    torch.manual_seed(0)
    truth, output = smooth_and_woven()
    adversary = Adversary(CPU, warm_up=0)
    for _ in range(60):
        adversary.learn(output, truth)
    output = output.clone().requires_grad_()
    adversary.loss(output).backward()
    weave = (output - truth).detach()
    assert (output.grad * weave).sum() > 0  # less of it deceives better


def test_it_goes_on_from_its_state():
    torch.manual_seed(0)
    truth, output = smooth_and_woven()
    straight, halting = Adversary(CPU, 1), Adversary(CPU, 1)
    straight.learn(output, truth)
    halting.restore(copy.deepcopy(straight.state()))
    assert float(halting.loss(output)) == float(straight.loss(output)) > 0  # the warm-up is over
    losses = [[float(adversary.learn(output, truth)) for _ in range(3)] for adversary in (straight, halting)]
    assert losses[0] == losses[1]


def test_there_is_a_logit_for_each_pixel():
    assert UNetDiscriminator(4)(torch.rand(2, 3, 24, 40)).shape == (2, 1, 24, 40)
