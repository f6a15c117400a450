import pytest
import torch

from nets.golden import golden_input
from nets.interpolation import interpolate
from nets.style_transfer import StyleTransferConfig, StyleTransferNet
from tests.conftest import tiny_style_net, tiny_upscaler


def test_the_ends_of_the_path_are_the_networks_themselves():
    one, other = tiny_style_net(0), tiny_style_net(1)
    with torch.no_grad():
        for shares, end in (((1.0, 0.0), one), ((0.0, 1.0), other)):
            assert torch.allclose(interpolate([one, other], shares)(golden_input()), end(golden_input()), atol=1e-5)


def test_every_weight_is_the_weighted_sum():
    nets = [tiny_upscaler(2, seed) for seed in range(3)]
    mixed = interpolate(nets, [0.5, 0.2, 0.3]).state_dict()
    for name, value in mixed.items():
        a, b, c = (net.state_dict()[name] for net in nets)
        assert torch.allclose(value, 0.5 * a + 0.2 * b + 0.3 * c, atol=1e-6)


def test_batch_norms_statistics_are_mixed_too():
    nets = [StyleTransferNet(StyleTransferConfig(width=4, residual_blocks=1, norm="batch")) for _ in range(2)]
    nets[1].down1.norm.running_mean.fill_(1.0)
    assert interpolate(nets, [0.75, 0.25]).down1.norm.running_mean.tolist() == pytest.approx([0.25] * 4)


def test_what_cannot_be_mixed_is_refused():
    with pytest.raises(ValueError, match="networks of one config"):
        interpolate([tiny_upscaler(2), tiny_upscaler(4)], [0.5, 0.5])
    with pytest.raises(ValueError, match="sum to 1"):
        interpolate([tiny_upscaler(2), tiny_upscaler(2)], [0.5, 0.4])
