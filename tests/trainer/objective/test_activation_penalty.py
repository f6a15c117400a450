import pytest
import torch

from nets.style_transfer import StyleTransferConfig, StyleTransferNet
from tests.conftest import tiny_style_net
from trainer.objective.activation_penalty import SpikeWatch, excess


def test_one_outlier_by_hand():
    x = torch.zeros(1, 1, 10, 10)
    x[0, 0, 3, 3] = 1.0
    # mean 0.01, variance 0.0099: the outlier stands at 0.99 over the deviation, all the rest at a tenth of one
    deviations = 0.99 / (0.0099 + 1e-5) ** 0.5
    assert excess(x).item() == pytest.approx((deviations - 5) ** 2 / 100, rel=1e-4)


def test_ordinary_activations_cost_nothing():
    assert excess(torch.randn(2, 3, 20, 20, generator=torch.Generator().manual_seed(0))).item() == 0.0


def test_the_watch_hears_training_alone_and_forgets_what_it_told():
    net = StyleTransferNet(StyleTransferConfig(width=4, residual_blocks=1))
    watch = SpikeWatch(net)
    spike = torch.zeros(1, 3, 64, 64)
    spike[..., 32, 32] = 1.0
    net.eval()(spike)
    assert watch.take(1).item() == 0.0
    net.train()(spike)
    heard = watch.take(1)
    assert heard.item() > 0.0
    heard.backward()
    assert net.down3.conv.conv.weight.grad.abs().sum() > 0
    assert watch.take(1).item() == 0.0


def test_watching_does_not_change_the_answer():
    x = torch.rand(1, 3, 24, 24)
    watched = tiny_style_net().train()
    SpikeWatch(watched)
    assert torch.equal(watched(x), tiny_style_net().train()(x))
