"""The checkpoints that come with the project: whole, described, and as good as they are said to be."""

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nets.checkpoint import load
from nets.interpolation import interpolate
from nets.pixels import from_network, to_network
from service.models.registry import load_registry
from trainer.data import read_rgb, reduce
from trainer.degradation import through_jpeg
from trainer.evaluation.evaluate import enlarger, score_upscaling
from trainer.evaluation.metrics import bicubic, compared_luma, psnr

STYLES = [
    "composition_vii",
    "engraving",
    "mosaic",
    "portrait_metzinger",
    "shipwreck",
    "starry_night",
    "the_scream",
    "udnie",
    "wave",
    "woodcut",
]
FAMILY = ["neutral", *STYLES]
UPSCALERS = [*(f"x{factor}{kind}" for factor in (2, 4, 8) for kind in ("", "_perceptual")), "x2_photo", "x4_photo"]

ROOT = Path(__file__).parent.parent.parent
PHOTOGRAPH = ROOT / "docs" / "images" / "photographs" / "chelsea.jpg"


@pytest.fixture(scope="module")
def registry():
    return load_registry(ROOT / "checkpoints")


def test_all_of_them_can_be_served(registry):
    assert registry.refused == {}
    expected = {*(f"stylize/{style}" for style in FAMILY), *(f"upscale/{name}" for name in UPSCALERS)}
    assert set(registry.models) == expected


def test_every_card_says_where_it_comes_from(registry):
    for model in registry.models.values():
        card = model.card
        assert card.license
        assert card.source
        if "recipe" in card.training:
            assert card.training["iterations"] > 0
            assert card.training["git_revision"]
        else:  # published by others
            assert card.training["data"]
        assert card.task == "stylize" or card.training["degradation"]
        assert card.trunk is None or card.trunk.startswith("atelier@sha256:")
        assert card.parent is None or re.fullmatch("sha256:[0-9a-f]{64}", card.parent)


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_an_upscaler_is_better_than_bicubic_on_a_photograph_it_has_not_seen(factor, tmp_path):
    read_rgb(PHOTOGRAPH).crop((60, 40, 300, 240)).resize((120, 100), Image.Resampling.BICUBIC).save(tmp_path / "a.png")
    net = enlarger(load(ROOT / "checkpoints" / "upscale" / f"x{factor}.safetensors"))
    ours, baseline = (score_upscaling(enlarge, tmp_path, factor, None)[-1] for enlarge in (net, bicubic(factor)))
    assert ours.psnr > baseline.psnr + 0.5
    assert ours.ssim > baseline.ssim


def block_edges(picture, factor):
    """Return how much steeper brightness is near the edges of enlarged JPEG blocks than elsewhere: 1 without any."""
    brightness = np.asarray(picture, float).mean(axis=2)
    found = []
    for rows in (brightness, brightness.T):
        steps = np.abs(np.diff(rows, axis=1)).mean(axis=0)
        place = np.arange(1, len(steps) + 1) % (8 * factor)
        near = np.minimum(place, 8 * factor - place) <= factor // 2
        found.append(steps[near].mean() / steps[~near].mean())
    return np.mean(found)


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("quality", [40, 60, 80])
def test_a_network_for_photographs_removes_the_blocks_of_a_jpeg(quality, factor):
    """At least half of what the faithful network leaves.

    Its PSNR is at most 1 dB below that of the faithful network, on clean input and on a JPEG.
    """
    truth = read_rgb(PHOTOGRAPH).crop((60, 40, 316, 296))
    low = reduce(truth, factor)
    names = (f"x{factor}_photo", f"x{factor}")
    ours, clean = (enlarger(load(ROOT / "checkpoints" / "upscale" / f"{name}.safetensors")) for name in names)
    compressed = np.array(through_jpeg(low, quality))
    none = block_edges(truth, factor)
    left, visible = (block_edges(enlarge(compressed), factor) - none for enlarge in (ours, clean))
    assert left < 0.5 * visible

    def decibels(enlarge, picture):
        return psnr(*compared_luma(enlarge(picture), np.array(truth), factor))

    assert decibels(ours, np.array(low)) > decibels(clean, np.array(low)) - 1
    assert decibels(ours, compressed) > decibels(clean, compressed) - 1


def test_the_trunk_is_small_and_a_style_is_smaller():
    assert (ROOT / "checkpoints/trunks/atelier.safetensors").stat().st_size < 4_000_000
    for style in FAMILY:
        assert (ROOT / f"checkpoints/stylize/{style}.safetensors").stat().st_size < 20_000


@pytest.mark.parametrize("style", STYLES)
def test_a_style_repaints_and_keeps_the_content(registry, style):
    """Another palette and another texture, but light stays light along the picture's large forms."""
    content = np.array(read_rgb(PHOTOGRAPH).resize((224, 152)))
    with torch.inference_mode():
        painted = from_network(registry.models[f"stylize/{style}"].net(to_network([content])))[0]
    assert np.abs(painted.astype(float) - content).mean() > 15
    small = [np.array(Image.fromarray(p).convert("L").resize((28, 19))).ravel() for p in (content, painted)]
    assert np.corrcoef(*small)[0, 1] > 0.4
    assert painted.std() > 0.8 * content.std()  # not a dull veil


@pytest.mark.parametrize("key", [*(f"stylize/{style}" for style in STYLES), *(f"upscale/{name}" for name in UPSCALERS)])
def test_bfloat16_stays_near_float32(registry, key):
    content = np.array(read_rgb(PHOTOGRAPH).resize((160, 112)))
    net = registry.models[key].net
    with torch.inference_mode():
        exact = from_network(net(to_network([content])))[0].astype(int)
        with torch.autocast("cpu", torch.bfloat16):
            quick = from_network(net(to_network([content])))[0].astype(int)
    difference = np.abs(exact - quick)
    limit = 3.0 if key.startswith("stylize") else 0.5
    assert difference.mean() < limit


def test_the_styles_are_one_family(registry):
    """Half way between any two is a picture, not grey or noise."""
    content = np.array(read_rgb(PHOTOGRAPH).resize((160, 112)))
    for one, other in pairwise(FAMILY):
        net = interpolate([registry.models[f"stylize/{name}"].net for name in (one, other)], [0.5, 0.5])
        with torch.inference_mode():
            painted = from_network(net(to_network([content])))[0]
        small = [np.array(Image.fromarray(p).convert("L").resize((20, 14))).ravel() for p in (content, painted)]
        assert np.corrcoef(*small)[0, 1] > 0.4, (one, other)
        assert painted.std() > 0.7 * content.std(), (one, other)
