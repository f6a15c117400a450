"""Convolutions over blocks of pixels against the plain ones, over even and odd sizes, whole and in bands."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nets.banded.bands import Convolution, FeatureMap, NearestUpsampled, Rows
from nets.banded.space_to_depth import RgbConvolution, UpsampledConvolution, depth_to_space, space_to_depth
from nets.layers import reflection_pad

SIZES = [(8, 10), (9, 10), (8, 11), (9, 11)]


def seeded_map(channels: int, height: int, width: int) -> torch.Tensor:
    values = torch.rand((1, channels, height, width), generator=torch.Generator().manual_seed(height * width))
    return values.to(memory_format=torch.channels_last)


def seeded_conv(channels_in: int, channels_out: int, kernel: int, bias: bool) -> nn.Conv2d:
    torch.manual_seed(channels_in)
    return nn.Conv2d(channels_in, channels_out, kernel, bias=bias)


def in_parts(rows: Rows) -> torch.Tensor:
    """Read in three bands, one of them a single row and none of them at the edge of a block."""
    cuts = [0, 3, 4, rows.height]
    return torch.cat([rows.read(top, bottom) for top, bottom in itertools.pairwise(cuts)], dim=-2)


@torch.inference_mode()
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_a_convolution_over_an_enlarged_map_is_the_plain_one(height, width):
    conv = seeded_conv(5, 4, 3, bias=True)
    source = seeded_map(5, (height + 1) // 2, (width + 1) // 2)
    enlarged = F.interpolate(source, scale_factor=2.0, mode="nearest")[..., :height, :width]
    plain = F.conv2d(reflection_pad(enlarged, 1), conv.weight, conv.bias)
    rows = UpsampledConvolution(conv, FeatureMap(source), (height, width))
    torch.testing.assert_close(rows.read(0, height), plain, rtol=0, atol=2e-6)
    torch.testing.assert_close(in_parts(rows), plain, rtol=0, atol=2e-6)


@torch.inference_mode()
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_the_last_convolution_is_the_plain_one(height, width):
    conv = seeded_conv(4, 3, 9, bias=False)
    source = seeded_map(4, height, width)
    plain = F.conv2d(reflection_pad(source, 4), conv.weight)
    rows = RgbConvolution(conv, FeatureMap(source))
    torch.testing.assert_close(rows.read(0, height), plain, rtol=0, atol=2e-6)
    torch.testing.assert_close(in_parts(rows), plain, rtol=0, atol=2e-6)


def test_a_blocks_pixels_are_its_channels_row_by_row():
    pixels = torch.arange(2 * 4 * 2).reshape(1, 2, 4, 2)
    first = space_to_depth(pixels)[0, :, 0, 0].tolist()
    assert first == [value for y in (0, 1) for x in (0, 1) for value in pixels[0, :, y, x].tolist()]
    assert torch.equal(depth_to_space(space_to_depth(pixels)), pixels)


def test_what_an_odd_side_lacks_of_a_block_is_zero():
    places = space_to_depth(torch.ones(1, 1, 3, 3))
    assert places.shape == (1, 4, 2, 2)
    assert places[0, :, 1, 1].tolist() == [1, 0, 0, 0]


def test_an_enlarged_map_is_the_nearest_neighbours():
    source = seeded_map(3, 4, 5)
    enlarged = F.interpolate(source, scale_factor=2.0, mode="nearest")[..., :7, :9]
    assert torch.equal(in_parts(NearestUpsampled(FeatureMap(source), (7, 9))), enlarged)


def test_a_mirrored_convolution_read_in_parts_is_the_whole():
    conv, source = seeded_conv(3, 4, 3, bias=True), FeatureMap(seeded_map(3, 9, 11))
    rows = Convolution(conv, "mirrored", source)
    torch.testing.assert_close(in_parts(rows), rows.read(0, 9), rtol=0, atol=1e-6)
