"""A style network over a shared trunk: its shapes, its noise, its reach, and styles that share and mix."""

import pytest
import torch

from nets.interpolation import interpolate
from nets.layers import octave_noise
from nets.style_trunk import (
    StyleTrunkConfig,
    StyleTrunkNet,
    interpolate_styles,
    share_trunk,
    stack_styles,
    style_parameters,
    trunk_parameters,
    with_new_style,
    with_style,
)
from tests.conftest import seeded

CPU = torch.device("cpu")


def tiny_trunk_net(seed=0):
    """Seeded, and with an output strong enough to be a picture."""
    net = seeded(StyleTrunkNet(StyleTrunkConfig(width=4, residual_blocks=1)), seed)
    with torch.no_grad():
        for name, value in net.named_parameters():
            value.mul_(10 if name.endswith("norm.weight") else 1)
        net.output.weight.fill_(0.4)
        net.output.bias.fill_(0.5)
    return net


def in_another_style(net, seed):
    other = with_new_style(net)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in style_parameters(other).values():
            value.add_(0.3 * torch.randn(value.shape, generator=generator))
    return other


def test_a_trunk_is_small_and_a_style_of_it_is_tiny():
    net = StyleTrunkNet(StyleTrunkConfig())
    trunk = sum(value.numel() for value in trunk_parameters(net).values())
    style = sum(value.numel() for value in style_parameters(net).values())
    assert 2 * trunk < 4_000_000  # bytes in float16
    assert 4 * style < 20_000  # bytes in float32
    assert trunk + style == sum(value.numel() for value in net.parameters())


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 3), (7, 8), (33, 50), (64, 64)])
def test_the_output_has_the_size_of_the_content(size):
    assert tiny_trunk_net()(torch.rand(2, 3, *size)).shape == (2, 3, *size)


def test_a_batch_gives_what_its_pictures_give_alone():
    net, x = tiny_trunk_net(), torch.rand(3, 3, 24, 32)
    assert torch.equal(net(x), torch.cat([net(picture[None]) for picture in x]))


@pytest.mark.parametrize("wavelength", [1, 4, 12, 32])
def test_noise_is_the_same_at_a_pixel_wherever_a_part_of_it_begins(wavelength):
    whole = octave_noise(70, 90, wavelength, CPU)
    part = octave_noise(30, 41, wavelength, CPU, top=17, left=23)
    assert torch.allclose(part, whole[..., 17:47, 23:64], atol=1e-6)
    assert whole.abs().max() <= 1
    assert whole.std() > 0.2


def test_a_longer_wavelength_changes_more_slowly():
    steps = [octave_noise(64, 64, wavelength, CPU).diff(dim=-1).abs().mean() for wavelength in (1, 4, 12, 32)]
    assert steps == sorted(steps, reverse=True)


def test_the_blur_leaves_no_pattern_with_a_period_of_two_pixels():
    """Four output channels of a cell that differ as much as they can: without the blur, a checkerboard."""
    net = StyleTrunkNet(StyleTrunkConfig(width=4, residual_blocks=1))
    with torch.no_grad():
        net.output.conv.conv.weight.zero_()
        net.output.conv.conv.weight[:, 0, 1, 1] = torch.tensor([1.0, -1.0, -1.0, 1.0] * 3)
    cells = torch.ones(1, 4, 6, 6)
    inside = net.output(cells)[..., 1:-1, 1:-1]
    assert torch.allclose(inside, torch.full_like(inside, 0.5), atol=1e-6)


def test_styles_of_a_trunk_share_its_very_tensors_and_train_apart():
    first = tiny_trunk_net()
    second = in_another_style(first, seed=1)
    assert second.stem.conv.conv.weight is first.stem.conv.conv.weight
    x = torch.rand(1, 3, 24, 24)
    assert not torch.allclose(first(x), second(x))
    before = first.stem.norm.weight.clone()
    with torch.no_grad():
        second.stem.norm.weight.mul_(2)
    assert torch.equal(first.stem.norm.weight, before)


def test_interpolated_styles_have_scales_and_shifts_between_theirs_and_no_convolutions_of_their_own():
    first = tiny_trunk_net()
    second = in_another_style(first, seed=1)
    mixed = interpolate([first, second], [0.25, 0.75])
    assert mixed.stem.conv.conv.weight.data_ptr() == first.stem.conv.conv.weight.data_ptr()
    expected = 0.25 * first.up1.norm.bias + 0.75 * second.up1.norm.bias
    assert torch.allclose(mixed.up1.norm.bias, expected)
    x = torch.rand(1, 3, 24, 24)
    assert torch.allclose(interpolate_styles([first, second], [0.0, 1.0])(x), second(x), atol=1e-6)


def test_networks_of_different_trunks_are_averaged_as_a_whole():
    first, second = tiny_trunk_net(0), tiny_trunk_net(1)
    mixed = interpolate([first, second], [0.5, 0.5])
    expected = 0.5 * first.stem.conv.conv.weight + 0.5 * second.stem.conv.conv.weight
    assert torch.allclose(mixed.stem.conv.conv.weight, expected)


@pytest.mark.parametrize("size", [(24, 32), (9, 7), (1, 1)])
def test_stacked_styles_paint_each_image_of_a_batch_in_its_own(size):
    net = tiny_trunk_net()
    nets = [net, in_another_style(net, 1), in_another_style(net, 2)]
    x = torch.rand(3, 3, *size)
    painted = stack_styles(nets)(x)
    alone = torch.cat([own(image[None]) for own, image in zip(nets, x, strict=True)])
    assert torch.allclose(painted, alone, atol=1e-4)
    assert not torch.allclose(painted, net(x), atol=1e-2)


def test_a_style_is_put_on_the_copy_of_its_trunk():
    net = tiny_trunk_net()
    style, copied = in_another_style(net, 1), tiny_trunk_net()
    placed = with_style(copied, style)
    x = torch.rand(1, 3, 24, 32)
    assert torch.equal(placed(x), style(x))
    assert share_trunk(placed, copied)
    assert share_trunk(style, net)
    assert not share_trunk(placed, style)
    assert not share_trunk(placed, torch.nn.Identity())
