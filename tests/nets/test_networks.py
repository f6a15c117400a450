import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from nets.architecture import ARCHITECTURES
from nets.golden import golden_input
from nets.span import gate
from nets.style_transfer import StyleTransferConfig, StyleTransferNet
from nets.super_resolution import SuperResolutionConfig, SuperResolutionNet, bounded, uneven
from tests.conftest import seeded, tiny_style_net, tiny_upscaler


def parameters(net):
    return sum(parameter.numel() for parameter in net.parameters())


def test_parameter_counts_are_the_published_ones():
    assert parameters(StyleTransferNet(StyleTransferConfig())) == 1_679_235
    assert parameters(StyleTransferNet(StyleTransferConfig(width=16))) == 424_899
    assert parameters(StyleTransferNet(StyleTransferConfig.paper())) == 1_679_235


@settings(deadline=None, max_examples=25)
@given(height=st.integers(1, 40), width=st.integers(1, 40))
def test_a_stylised_picture_has_the_size_of_its_content(height, width):
    assert tiny_style_net()(torch.rand(1, 3, height, width)).shape == (1, 3, height, width)


@settings(deadline=None, max_examples=25)
@given(height=st.integers(1, 20), width=st.integers(1, 20), factor=st.sampled_from([2, 4, 8]))
def test_an_upscaled_picture_is_larger_by_the_factor(height, width, factor):
    assert tiny_upscaler(factor)(torch.rand(2, 3, height, width)).shape == (2, 3, factor * height, factor * width)


@pytest.mark.parametrize("size", [(32, 32), (30, 41)])
def test_the_papers_networks_can_be_built_and_run(size):
    style = StyleTransferNet(StyleTransferConfig.paper()).eval()
    assert style(torch.rand(1, 3, *size)).shape == (1, 3, *size)
    upscaler = SuperResolutionNet(SuperResolutionConfig.paper(8)).eval()
    output = upscaler(torch.rand(1, 3, 8, 9))
    assert output.shape == (1, 3, 64, 72)
    assert output.min() >= 0
    assert output.max() <= 1


def test_an_untrained_subpixel_upscaler_is_bicubic():
    x = torch.rand(1, 3, 7, 9)
    net = SuperResolutionNet(SuperResolutionConfig(factor=4, width=8, residual_blocks=2))
    assert torch.equal(net(x), F.interpolate(x, scale_factor=4.0, mode="bicubic", align_corners=False))


@pytest.mark.parametrize("factor", [2, 4, 8])
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (20, 30)])
def test_a_flat_colour_stays_flat_up_to_the_corners(factor, size):
    colour = torch.tensor([0.0, 0.3, 1.0])[None, :, None, None]
    span = seeded(SuperResolutionNet(SuperResolutionConfig(factor=factor, width=4, residual_blocks=2, body="span")), 0)
    for net in (tiny_upscaler(factor), span):
        output = net(colour.expand(1, 3, *size))
        assert (output - colour).abs().max() < 1e-5


def test_a_gate_lets_strong_details_pass_and_stops_weak_ones():
    strong = math.log(3)  # its sigmoid is 3/4
    found = gate(torch.tensor([0.0, strong, -strong]), torch.tensor([5.0, 1.0, 1.0]), torch.full((2,), 1e4))
    assert torch.allclose(found, torch.tensor([0.0, (strong + 1) / 4, (strong - 1) / 4]))
    limited = gate(torch.tensor([2 * strong, -2 * strong]), torch.tensor([1.0, 9.0]), torch.tensor([strong, 1.5]))
    assert torch.allclose(limited, torch.tensor([(strong + 1) / 4, -1.5]))


def test_span_has_the_published_number_of_parameters():
    """426 thousand at 48 channels (Wan et al. 2023), re-parameterised."""
    assert parameters(SuperResolutionNet(SuperResolutionConfig(4, 48, 6, "span"))) == 426_288


def test_only_the_inside_of_flat_areas_is_left_uncorrected():
    x = torch.zeros(1, 3, 12, 20)
    x[:, 1, :, 10:] = 0.5  # an edge between columns 9 and 10
    expected = torch.ones(20)
    expected[:7] = expected[13:] = 0
    expected[[7, 12]], expected[[8, 11]] = 1 / 3, 2 / 3
    share = uneven(x)
    assert share is not None
    assert torch.allclose(share, expected.expand(1, 1, 12, 20), atol=1e-6)
    assert uneven(golden_input()) is None


def test_a_pixel_leaves_the_range_around_it_by_a_tenth_of_its_width():
    x = torch.zeros(1, 3, 9, 20)
    x[..., 10:] = 0.5  # an edge between columns 9 and 10
    wild = torch.tensor([7.0, -7.0]).repeat(20).expand(1, 3, 18, 40)
    found = bounded(wild, x)
    assert torch.allclose(found[..., 0:40:2].amax(dim=(0, 1, 2)), torch.tensor([*8 * [0.0], *4 * [0.55], *8 * [0.5]]))
    assert torch.allclose(found[..., 1:40:2].amin(dim=(0, 1, 2)), torch.tensor([*8 * [0.0], *4 * [-0.05], *8 * [0.5]]))


def test_an_untrained_srcnn_is_bicubic_too():
    net = SuperResolutionNet(SuperResolutionConfig(factor=2, width=8, body="srcnn"))
    x = golden_input()
    expected = F.interpolate(x, scale_factor=2.0, mode="bicubic", align_corners=False).clamp_min(0.0)
    assert torch.allclose(net(x), expected, atol=1e-6)


def test_the_answer_does_not_depend_on_the_rest_of_the_batch():
    x = torch.rand(3, 3, 24, 20)
    for net in (tiny_style_net(), tiny_upscaler(2)):
        alone = torch.cat([net(item) for item in x.split(1)])
        assert torch.allclose(net(x), alone, atol=1e-5)


@pytest.mark.parametrize(
    "config",
    [
        SuperResolutionConfig(factor=2, width=4, residual_blocks=1),
        SuperResolutionConfig(factor=4, width=4, residual_blocks=3),
        SuperResolutionConfig(factor=4, width=4, residual_blocks=2, body="span"),
        SuperResolutionConfig(factor=8, width=4, residual_blocks=1, body="paper"),
        SuperResolutionConfig(factor=2, width=4, body="srcnn"),
        SuperResolutionConfig(factor=8, width=4, body="srcnn"),
    ],
)
def test_no_pixel_reaches_further_than_the_halo(config):
    net = seeded(SuperResolutionNet(config), 3)
    halo = ARCHITECTURES["super_resolution"].facts(config).halo
    side = 2 * halo + 9
    x = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0)).requires_grad_()  # flat areas stay
    middle = side // 2
    cell = slice(config.factor * middle, config.factor * (middle + 1))  # one pixel may have no active unit
    net(x)[..., cell, cell].sum().backward()
    rows = x.grad.abs().sum(dim=(0, 1, 3)).nonzero().flatten()
    assert middle - rows.min() <= halo
    assert rows.max() - middle <= halo
    assert rows.max() - rows.min() >= halo  # and the halo is not idly large


def test_instance_norm_nets_say_that_they_cannot_be_tiled():
    facts = ARCHITECTURES["style_transfer"].facts
    assert facts(StyleTransferConfig()).halo is None
    assert facts(StyleTransferConfig.paper()).halo is not None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"wdith": 8}, "unknown config key 'wdith'"),
        ({"width": "8"}, "width = '8'"),
        ({"width": True}, "width = True"),
        ({"width": 0}, "expected 1 to 1024"),
        ({"norm": "layer"}, "expected one of"),
        ({"grain": 2.0}, "expected 0 to 1"),
    ],
)
def test_a_wrong_config_is_refused_by_name(values, message):
    with pytest.raises(ValueError, match=message):
        ARCHITECTURES["style_transfer"].build(ARCHITECTURES["style_transfer"].parse_config(values))


def test_an_unknown_factor_is_refused():
    with pytest.raises(ValueError, match="expected one of"):
        ARCHITECTURES["super_resolution"].parse_config({"factor": 3})
