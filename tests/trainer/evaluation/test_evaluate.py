import hashlib

import numpy as np
import pytest
import torch
from PIL import Image

from nets import checkpoint
from nets.super_resolution import SuperResolutionConfig, SuperResolutionNet
from tests.conftest import picture, save_net, tiny_style_net
from tests.trainer.conftest import random_vgg16
from trainer.config import StyleLoss
from trainer.data import read_style_image
from trainer.errors import TrainerError
from trainer.evaluation.evaluate import enlarger, objective_of, score_style, score_upscaling, style_terms
from trainer.evaluation.metrics import bicubic
from trainer.objective import losses
from trainer.objective.loss_network import LossNetwork
from trainer.objective.perceptual_distance import PerceptualDistance

LOSS = {"content_layer": "relu1_2", "style_weight": 2.0, "style_layers": {"relu1_2": 1.0, "relu2_2": 3.0}}


def save_style(folder, style_image):
    """A tiny style whose card tells of its objective, as the recipe writes it."""
    training = {
        "style_image_sha256": hashlib.sha256(style_image.read_bytes()).hexdigest(),
        "recipe": {"loss": StyleLoss(**LOSS, range_weight=10.0).model_dump(), "data": {"style_px": 32}},
    }
    card = checkpoint.make_card(tiny_style_net(), "tiny", license="CC0-1.0", source="made in a test", training=training)
    path = folder / "stylize" / "tiny.safetensors"
    checkpoint.save(path, tiny_style_net(), card)
    return path


def test_an_untrained_upscaler_scores_as_bicubic_does(tmp_path):
    """Its answer is torch's bicubic, which differs a little from Pillow's."""
    net = SuperResolutionNet(SuperResolutionConfig(factor=2, width=4, residual_blocks=1))
    path = save_net(tmp_path / "checkpoints", "x2", net)
    (tmp_path / "images").mkdir()
    Image.fromarray(picture(41, 60)).save(tmp_path / "images" / "a.png")
    Image.fromarray(picture(50, 52, seed=1)).save(tmp_path / "images" / "b.png")
    scores = score_upscaling(
        enlarger(checkpoint.load(path)), tmp_path / "images", 2, PerceptualDistance(random_vgg16())
    )
    baseline = score_upscaling(bicubic(2), tmp_path / "images", 2, None)
    assert [score.image for score in scores] == ["a.png", "b.png", "mean"]
    assert scores[2].psnr == pytest.approx((scores[0].psnr + scores[1].psnr) / 2)
    assert scores[2].lpips == pytest.approx((scores[0].lpips + scores[1].lpips) / 2)
    assert baseline[2].lpips is None
    for score, other in zip(scores, baseline, strict=True):
        assert score.psnr == pytest.approx(other.psnr, abs=0.5)
        assert score.ssim == pytest.approx(other.ssim, abs=0.02)


def test_a_style_enlarges_nothing(tmp_path):
    path = save_net(tmp_path, "tiny", tiny_style_net())
    with pytest.raises(TrainerError, match="tiny is a stylize checkpoint"):
        enlarger(checkpoint.load(path))


def test_the_terms_of_a_style_are_those_of_its_own_objective(tmp_path, style_image, photographs):
    loaded = checkpoint.load(save_style(tmp_path, style_image))
    network = LossNetwork(random_vgg16())
    with Image.open(photographs / "2.png") as image:
        terms = style_terms(loaded, objective_of(loaded, network, style_image), image.convert("RGB"))
        content = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        answer = loaded.net(content).clamp(0, 1)
        style = network(read_style_image(style_image, 32), ["relu1_2", "relu2_2"])
        painted, kept = network(answer, ["relu1_2", "relu2_2"]), network(content, ["relu1_2"])["relu1_2"]
        grams = {name: (losses.gram(painted[name]), losses.gram(style[name])) for name in style}
        relative = {name: ((a - b) ** 2).sum() / (b**2).sum() for name, (a, b) in grams.items()}
    expected = {
        "content": ((painted["relu1_2"] - kept) ** 2).mean().item(),
        "style": 2.0 * (1.0 * relative["relu1_2"] + 3.0 * relative["relu2_2"]).item(),
        "range": 0.0,
    }
    assert terms == pytest.approx(expected, rel=1e-3)


def test_a_style_is_measured_on_each_photograph(tmp_path, style_image, photographs):
    loaded = checkpoint.load(save_style(tmp_path, style_image))
    scores = score_style(loaded, LossNetwork(random_vgg16()), style_image, photographs, 64)
    assert [score.image for score in scores] == ["0.png", "1.png", "2.png", "3.png", "mean"]
    assert scores[-1].contrast == pytest.approx(np.mean([score.contrast for score in scores[:-1]]))


def test_another_style_image_is_refused(tmp_path, style_image):
    loaded = checkpoint.load(save_style(tmp_path, style_image))
    other = tmp_path / "other.png"
    Image.fromarray(picture(32, 32)).save(other)
    with pytest.raises(TrainerError, match=r"other\.png is not the style image that tiny was trained on"):
        objective_of(loaded, LossNetwork(random_vgg16()), other)
    untold = checkpoint.load(save_net(tmp_path, "untold", tiny_style_net()))
    with pytest.raises(TrainerError, match="does not tell of a style image"):
        objective_of(untold, LossNetwork(random_vgg16()), style_image)
