import math

import numpy as np
import pytest
from PIL import Image

from nets import checkpoint
from nets.super_resolution import SuperResolutionConfig, SuperResolutionNet
from tests.conftest import picture, save_net, tiny_style_net
from trainer.errors import TrainerError
from trainer.evaluation import evaluate, luma, psnr, ssim


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


def test_an_untrained_upscaler_scores_as_bicubic_does(tmp_path):
    """Its answer is torch's bicubic, which differs a little from Pillow's."""
    net = SuperResolutionNet(SuperResolutionConfig(factor=2, width=4, residual_blocks=1))
    path = save_net(tmp_path / "checkpoints", "x2", net)
    (tmp_path / "images").mkdir()
    Image.fromarray(picture(41, 60)).save(tmp_path / "images" / "a.png")
    Image.fromarray(picture(50, 52, seed=1)).save(tmp_path / "images" / "b.png")
    scores = evaluate(path, tmp_path / "images")
    assert [score.image for score in scores] == ["a.png", "b.png", "mean"]
    assert scores[2].psnr == pytest.approx((scores[0].psnr + scores[1].psnr) / 2)
    for score in scores:
        assert score.psnr == pytest.approx(score.bicubic_psnr, abs=0.5)
        assert score.ssim == pytest.approx(score.bicubic_ssim, abs=0.02)


def test_a_style_has_no_psnr(tmp_path):
    path = tmp_path / "tiny.safetensors"
    checkpoint.save(path, tiny_style_net(), checkpoint.describe(tiny_style_net(), "tiny"))
    with pytest.raises(TrainerError, match="PSNR has a meaning for upscale alone"):
        evaluate(path, tmp_path)
