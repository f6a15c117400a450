import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nets.layers import InstanceNorm, ResidualBlock, ResizeConv, RgbOutput, grain, reflection_pad


@given(height=st.integers(1, 9), width=st.integers(1, 9), pixels=st.integers(0, 12))
def test_reflection_is_numpys_wherever_there_is_something_to_reflect(height, width, pixels):
    x = torch.arange(height * width, dtype=torch.float32).reshape(1, 1, height, width)
    expected = np.pad(x[0, 0].numpy(), pixels, mode="reflect" if min(height, width) > 1 else "edge")
    padded = reflection_pad(x, pixels)[0, 0].numpy()
    assert padded.shape == expected.shape
    if min(height, width) > pixels or min(height, width) == max(height, width) == 1:
        assert np.array_equal(padded, expected)


def test_instance_norm_by_hand():
    norm = InstanceNorm(1)
    with torch.no_grad():
        norm.weight.fill_(2.0)
        norm.bias.fill_(10.0)
    x = torch.tensor([1.0, 2.0, 3.0, 6.0]).reshape(1, 1, 2, 2)  # mean 3, population variance 3.5
    expected = 10 + 2 * (x - 3) / (3.5 + 1e-5) ** 0.5
    assert torch.allclose(norm(x), expected, atol=1e-6)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_instance_norm_does_not_see_the_neighbours_in_a_batch(layout):
    norm = InstanceNorm(6)
    x = torch.randn(3, 6, 5, 7, generator=torch.Generator().manual_seed(0)).contiguous(memory_format=layout)
    alone = torch.cat([norm(item) for item in x.split(1)])
    assert torch.allclose(norm(x), alone, atol=1e-6)


def test_instance_norm_of_a_single_pixel_is_its_bias():
    norm = InstanceNorm(2)
    with torch.no_grad():
        norm.bias.copy_(torch.tensor([0.25, -1.0]))
    assert norm(torch.rand(1, 2, 1, 1)).flatten().tolist() == [0.25, -1.0]


def test_residual_block_has_no_relu_after_the_addition():
    block = ResidualBlock(4, "instance")
    for parameter in block.parameters():
        torch.nn.init.zeros_(parameter)
    x = torch.randn(1, 4, 6, 6)
    assert torch.equal(block(x), x)


def test_unpadded_residual_block_crops_its_shortcut():
    block = ResidualBlock(4, "instance", padded=False)
    for parameter in block.parameters():
        torch.nn.init.zeros_(parameter)
    x = torch.randn(1, 4, 9, 8)
    assert torch.equal(block(x), x[..., 2:-2, 2:-2])


def test_resize_conv_reaches_odd_sizes():
    assert ResizeConv(3, 5)(torch.rand(2, 3, 4, 6), (7, 12)).shape == (2, 5, 7, 12)


def test_the_last_bias_is_added_in_float32():
    output = RgbOutput(2, 3, mid_grey=0.7)  # not a bfloat16
    torch.nn.init.zeros_(output.conv.conv.weight)
    with torch.autocast("cpu", torch.bfloat16):
        y = output(torch.rand(1, 2, 4, 4))
    assert y.dtype == torch.float32
    assert torch.allclose(y, torch.full_like(y, 0.7), atol=1e-7)


def test_grain_is_a_hash_of_the_coordinates_whatever_the_size():
    def by_hand(x, y):
        n = (x * 374761393 + y * 668265263) % 2**32
        n = ((n ^ (n >> 13)) * 1274126177) % 2**32
        return ((n ^ (n >> 16)) % 2**16) / 32767.5 - 1

    noise = grain(40, 70, torch.device("cpu"))
    for x, y in [(0, 0), (1, 0), (0, 1), (69, 39), (31, 17)]:
        assert noise[0, 0, y, x].item() == pytest.approx(by_hand(x, y), abs=1e-6)
    assert torch.equal(noise[..., :16, :16], grain(16, 16, torch.device("cpu")))
    assert abs(noise.mean().item()) < 0.05
    assert noise.std().item() == pytest.approx(3**-0.5, abs=0.03)  # of a uniform distribution
