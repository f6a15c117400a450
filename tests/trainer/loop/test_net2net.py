import pytest
import torch

from nets.golden import golden_input
from nets.style_transfer import StyleTransferConfig, StyleTransferNet
from tests.conftest import seeded
from trainer.loop.net2net import widen


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_a_widened_network_gives_the_same_answers(norm):
    net = seeded(StyleTransferNet(StyleTransferConfig(width=4, residual_blocks=2, norm=norm, grain=0.1)), 0)
    wide = widen(net).eval()
    assert wide.config == StyleTransferConfig(width=8, residual_blocks=2, norm=norm, grain=0.1)
    with torch.no_grad():
        assert torch.allclose(wide(golden_input()), net(golden_input()), atol=1e-4)


def test_the_two_copies_of_a_channel_learn_differently():
    wide = widen(seeded(StyleTransferNet(StyleTransferConfig(width=4, residual_blocks=1)), 0)).train()
    wide(golden_input()).square().sum().backward()
    gradient = wide.down2.conv.conv.weight.grad
    assert not torch.allclose(gradient[0], gradient[1], rtol=1e-2)


def test_transposed_convolutions_are_refused():
    with pytest.raises(ValueError, match="cannot be widened"):
        widen(StyleTransferNet(StyleTransferConfig(width=4, residual_blocks=1, upsampling="transposed")))
