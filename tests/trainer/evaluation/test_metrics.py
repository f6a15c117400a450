import math

import numpy as np
import pytest
from PIL import Image

from tests.conftest import picture
from trainer.evaluation.metrics import benchmark_pairs, bicubic, compared_luma, luma, mean_psnr, psnr, ssim


def test_luma_is_bt601_studio_range():
    colours = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    assert luma(colours)[0] == pytest.approx([16.0, 235.0, 81.481, 144.553, 40.966], abs=1e-3)


def test_psnr_by_hand():
    a = np.zeros((4, 4))
    assert psnr(a, a + 5.1) == pytest.approx(20 * math.log10(255 / 5.1))
    assert psnr(a, a) == math.inf


def test_ssim_of_equal_images_is_one_and_of_noise_is_less():
    y = luma(picture(40, 40))
    assert ssim(y, y) == pytest.approx(1.0)
    assert ssim(y, y + np.random.default_rng(0).normal(0, 20, y.shape)) < 0.8


def test_the_protocol_crops_to_a_multiple_of_the_factor_and_cuts_it_off_at_the_border(tmp_path):
    Image.fromarray(picture(41, 62)).save(tmp_path / "a.png")
    [(name, low, truth)] = benchmark_pairs(tmp_path, 4)
    assert (name, low.shape, truth.shape) == ("a.png", (10, 15, 3), (40, 60, 3))
    one, other = compared_luma(truth, bicubic(4)(low), 4)
    assert one.shape == other.shape == (32, 52)
    assert one == pytest.approx(luma(truth)[4:-4, 4:-4])
    assert mean_psnr(bicubic(4), tmp_path, 4) == pytest.approx(psnr(one, other))
