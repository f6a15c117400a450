"""The banded form of a style of a trunk gives what the network gives."""

import numpy as np
import pytest
import torch

from nets.banded.bands import run_to_end
from nets.banded.style import stylize
from nets.pixels import from_network, to_network
from tests.conftest import picture
from tests.nets.test_style_trunk import tiny_trunk_net

CPU = torch.device("cpu")


@torch.inference_mode()
def whole(net, pixels):
    return from_network(net(to_network([pixels])), pixels.dtype)[0]


@torch.inference_mode()
def banded(net, pixels, band_pixels, known=None, corner=(0, 0)):
    return run_to_end(stylize(net, pixels, CPU, band_pixels, known, corner))


def furthest(a, b):
    return int(np.abs(a.astype(int) - b.astype(int)).max())


@pytest.mark.parametrize("size", [(64, 64), (65, 71), (130, 94), (97, 200)])
@pytest.mark.parametrize("band_pixels", [200, 1_000_000])
def test_bands_give_the_picture_of_the_whole(size, band_pixels):
    net, pixels = tiny_trunk_net(), picture(*size)
    output = whole(net, pixels)
    assert output.std() > 10  # a picture, not a flat colour
    assert furthest(banded(net, pixels, band_pixels).picture, output) <= 1


def test_sixteen_bits_stay_sixteen_bits():
    net, pixels = tiny_trunk_net(), picture(64, 80).astype(np.uint16) * 257
    output = banded(net, pixels, 1000).picture
    assert output.dtype == np.uint16
    assert furthest(output, whole(net, pixels)) <= 20


def test_a_tile_with_the_pictures_statistics_gives_the_pictures_pixels_inside_its_halo():
    net, pixels, halo = tiny_trunk_net(), picture(240, 256), 64
    known = banded(net, pixels, 2000)
    top, left = 72, 48
    tile = banded(net, np.ascontiguousarray(pixels[top:, left:]), 2000, known.statistics, (top, left)).picture
    assert furthest(tile[halo:, halo:], known.picture[top + halo :, left + halo :]) <= 1
    elsewhere = banded(net, np.ascontiguousarray(pixels[top:, left:]), 2000, known.statistics).picture
    assert furthest(elsewhere[halo:, halo:], known.picture[top + halo :, left + halo :]) > 1  # another place's noise
