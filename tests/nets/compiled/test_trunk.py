"""The form of a trunk in OpenVINO gives what the network gives in torch."""

import numpy as np
import pytest
import torch

pytest.importorskip("nets.compiled.trunk", reason="make test-openvino")

from nets.compiled.trunk import SMALLEST_SIDE_PX, CompiledTrunk
from nets.golden import golden_difference, golden_output
from nets.interpolation import interpolate
from nets.pixels import from_network, to_network
from nets.style_trunk import StyleTrunkConfig, StyleTrunkNet
from tests.conftest import picture, seeded
from tests.nets.test_style_trunk import in_another_style, tiny_trunk_net

SMALLEST = SMALLEST_SIDE_PX


@torch.inference_mode()
def whole(net, pixels):
    return from_network(net(to_network([pixels])), pixels.dtype)[0]


def furthest(a, b):
    return int(np.abs(a.astype(int) - b.astype(int)).max())


@pytest.fixture(scope="module")
def net():
    return tiny_trunk_net()


@pytest.fixture(scope="module")
def compiled(net):
    return CompiledTrunk(net, "fp32", threads=2)


@pytest.mark.parametrize("size", [(SMALLEST, SMALLEST), (33, 32), (35, 47), (64, 65), (300, 211)])
def test_it_gives_the_picture_of_the_network_at_any_size(net, compiled, size):
    pixels = picture(*size)
    output = whole(net, pixels)
    assert output.std() > 10  # a picture, not a flat colour
    assert furthest(compiled.stylize(net, pixels), output) <= 1


def test_the_styles_of_a_trunk_and_their_mixtures_share_one_form(net, compiled):
    pixels, other = picture(70, 90), in_another_style(net, 1)
    mixed = interpolate([net, other], [0.25, 0.75])
    outputs = [compiled.stylize(each, pixels) for each in (net, other, mixed)]
    assert furthest(outputs[0], outputs[1]) > 20
    for each, output in zip((net, other, mixed), outputs, strict=True):
        assert furthest(output, whole(each, pixels)) <= 1


def test_sixteen_bits_stay_sixteen_bits(net, compiled):
    pixels = picture(64, 80).astype(np.uint16) * 257
    output = compiled.stylize(net, pixels)
    assert output.dtype == np.uint16
    assert furthest(output, whole(net, pixels)) <= 20


def test_the_golden_output_is_that_of_the_network(net, compiled):
    assert golden_difference(golden_output(net), compiled.golden_output(net)) < 0.001


def test_the_same_picture_gives_the_same_bits_whatever_came_before(net, compiled):
    first = compiled.stylize(net, picture(97, 120))
    compiled.stylize(net, picture(150, 64))
    compiled.release_memory()
    assert np.array_equal(compiled.stylize(net, picture(97, 120)), first)


def test_a_trunk_of_other_widths_and_blocks_is_compiled_too():
    net = seeded(StyleTrunkNet(StyleTrunkConfig(width=6, residual_blocks=3)), 2)
    assert (
        furthest(CompiledTrunk(net, "fp32", threads=1).stylize(net, picture(50, 61)), whole(net, picture(50, 61))) <= 1
    )


def test_an_output_that_is_not_finite_is_an_error(net, compiled):
    broken = in_another_style(net, 3)
    with torch.no_grad():
        broken.output.bias.fill_(float("nan"))
    with pytest.raises(ValueError, match="not finite"):
        compiled.stylize(broken, picture(40, 40))
