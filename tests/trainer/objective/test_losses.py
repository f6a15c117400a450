"""Each loss against an answer worked out by hand."""

import math

import pytest
import torch

from trainer.objective import losses


def features(*channels):
    """(1, C, 1, W) from rows of numbers."""
    return torch.tensor(channels, dtype=torch.float32)[None, :, None, :]


def test_feature_reconstruction_is_the_mean_squared_distance():
    # differences 1, 2, 0, 1 over C H W = 4: (1 + 4 + 0 + 1) / 4
    value = losses.feature_reconstruction(features([1, 2], [3, 4]), features([0, 4], [3, 5]))
    assert value.item() == pytest.approx(1.5)


def test_gram_matrix():
    # F F^T = [[1*1+2*2, 1*3+2*4], [11, 9+16]], over C H W = 4
    expected = torch.tensor([[[5.0, 11.0], [11.0, 25.0]]]) / 4
    assert torch.allclose(losses.gram(features([1, 2], [3, 4])), expected)


def test_gram_matrix_is_float32_whatever_comes_in():
    x = torch.full((1, 2, 64, 64), 16.0, dtype=torch.bfloat16)
    result = losses.gram(x)
    assert result.dtype == torch.float32
    assert torch.equal(result, torch.full((1, 2, 2), 128.0))  # 16 * 16 * 4096 / (2 * 4096)


def test_style_reconstruction_is_the_squared_frobenius_norm():
    a = torch.tensor([[[1.0, 0.0], [0.0, 3.0]], [[0.0, 0.0], [0.0, 0.0]]])
    target = torch.tensor([[[0.0, 2.0], [2.0, 3.0]]])
    # image 1: 1 + 4 + 4 + 0 = 9; image 2: 0 + 4 + 4 + 9 = 17; their mean
    assert losses.style_reconstruction(a, target).item() == pytest.approx(13.0)


def test_relative_style_reconstruction_is_one_for_no_features_and_blind_to_scale():
    target = losses.gram(features([1, 2], [3, 4]))
    assert losses.relative_style_reconstruction(torch.zeros_like(target), target).item() == pytest.approx(1.0)
    a = losses.gram(features([2, 2], [1, 0]))
    small = losses.relative_style_reconstruction(a, target)
    large = losses.relative_style_reconstruction(1000 * a, 1000 * target)
    assert small.item() == pytest.approx(large.item())


def test_total_variation_of_a_checkerboard_is_two_per_pixel_away_from_its_border():
    n = 64
    board = ((torch.arange(n)[:, None] + torch.arange(n)[None, :]) % 2).float().expand(1, 3, n, n)
    # every pixel differs by 1 from the next below and the next to the right; the last row and column have none
    assert losses.total_variation(board).item() == pytest.approx(2 * n * (n - 1) / n**2)
    assert losses.total_variation(torch.full((1, 3, 5, 5), 0.3)).item() == 0.0


def test_out_of_range_counts_what_lies_outside_alone():
    values = torch.tensor([[-0.5, 0.0, 1.0, 3.0]])
    assert losses.out_of_range(values).item() == pytest.approx((0.25 + 4.0) / 4)


def test_pixel_losses():
    a, b = torch.tensor([0.0, 1.0]), torch.tensor([0.5, -1.0])
    assert losses.pixel(a, b).item() == pytest.approx(1.25)
    assert losses.squared_pixel(a, b).item() == pytest.approx(2.125)


def test_fine_detail_is_stripes_of_a_few_pixels():
    columns = torch.arange(48.0)
    stripes = {period: torch.cos(2 * torch.pi * columns / period + 0.3).expand(2, 3, 40, 48) for period in (2, 4, 8)}
    nothing = torch.zeros(2, 3, 40, 48)
    found = {period: losses.fine(each, nothing).item() for period, each in stripes.items()}
    mean = {period: losses.pixel(each, nothing).item() for period, each in stripes.items()}
    gain = {period: (2 - 2 * math.cos(2 * math.pi / period)) ** 2 / 16 for period in stripes}
    for period in stripes:  # half, because no stripe changes along columns
        assert found[period] == pytest.approx(gain[period] * mean[period] / 2, rel=0.05)
    turned = losses.fine(stripes[2].transpose(2, 3), nothing.transpose(2, 3)).item()
    assert turned == pytest.approx(found[2])
    assert losses.fine(stripes[2], stripes[2]).item() == 0.0


def test_a_lattice_is_what_repeats_from_cell_to_cell():
    photograph = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    weave = torch.zeros(4, 4)
    weave[1, 2] = 0.8  # 0.05 on average over a cell: its deviation is 0.75 once and 0.05 fifteen times
    woven = photograph + weave.repeat(64, 64)
    assert losses.lattice(woven, photograph, 4).item() == pytest.approx((0.75 + 15 * 0.05) / 16, rel=1e-4)
    assert losses.lattice(photograph + 0.1, photograph, 4).item() == pytest.approx(0.0, abs=1e-6)
    texture = torch.randn(1, 3, 256, 256, generator=torch.Generator().manual_seed(1))
    found = losses.lattice(photograph + texture, photograph, 4).item()  # the mean of 16 has a quarter of the strength
    assert found == pytest.approx((2 / math.pi * 15 / 16) ** 0.5 / 4, rel=0.03)


def test_a_grid_is_sharpness_that_is_spread_unevenly_over_cells():
    dots = torch.zeros(1, 3, 66, 66)
    dots[..., ::2, ::2] = 1.0
    # |Laplacian| at the four places of a cell: 4 at the dot, 2 beside it, 0 between four. Their mean is 2, and the mean
    # of their squared deviations over the squared mean is (1 + 0 + 0 + 1) / 4; cells of 4 pixels repeat it.
    assert losses.grid(dots).item() == pytest.approx(2 * 0.5, rel=2e-3)
    assert losses.grid(dots, (2,)).item() == pytest.approx(0.5, rel=2e-3)
    wide = dots.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)  # cells of 8: a factor of 8 may leave them
    assert losses.grid(wide, (2, 4, 8)).item() > losses.grid(wide, (2, 4)).item() + 0.5
    assert losses.grid(torch.full((1, 3, 40, 40), 0.3)).item() == 0.0
    even = torch.rand(1, 3, 514, 514, generator=torch.Generator().manual_seed(0))
    assert losses.grid(even).item() < 1e-3


def test_contrast_counts_as_lost_where_the_picture_is_flatter_than_the_photograph():
    halves = torch.zeros(1, 3, 16, 16)
    halves[..., 8:] = 1.0  # cells of brightness 0 and 1: a deviation of one half
    kept = losses.deviation(halves)
    assert kept.item() == pytest.approx(0.5, rel=1e-3)
    assert losses.lost_contrast(0.5 * halves + 0.2, kept).item() == pytest.approx(0.25, rel=5e-3)
    assert losses.lost_contrast(2 * halves, kept).item() == 0.0
    assert losses.lost_contrast(torch.full((1, 3, 16, 16), 0.4), kept).item() == pytest.approx(0.92, abs=0.01)
