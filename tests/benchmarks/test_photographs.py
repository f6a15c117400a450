"""The files with known answers for `source=auto`, and the distance DISTS."""

from pathlib import Path

import dists
import numpy as np
import origins
import photographs
import pytest
import torch
from PIL import Image

from tests.conftest import picture

PHOTOGRAPHS = sorted((Path(__file__).parents[2] / "docs/images/photographs").glob("*.jpg"))


def reduced(path):
    image = Image.open(path).convert("RGB")
    return image.resize((round(image.width * 0.61), round(image.height * 0.61)), Image.Resampling.LANCZOS)


@pytest.mark.parametrize("number", range(6))
def test_photographs_with_loss_are_told_from_those_without(number):
    image = reduced(PHOTOGRAPHS[number % len(PHOTOGRAPHS)])
    for file in (*origins.with_loss(image, number), origins.without_loss(image, number)):
        assert origins.decided(file.data) == file.answer, file.what


def test_no_drawing_is_taken_for_a_photograph():
    files = list(origins.drawings())
    assert len(files) == 25
    assert [file.what for file in files if origins.decided(file.data) != "clean"] == []


def test_the_distance_is_0_for_equal_pictures_and_grows_with_noise():
    random, weights = torch.Generator().manual_seed(0), {}
    channels = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    indices = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]
    for index, into, out in zip(indices, channels[:-1], channels[1:], strict=True):
        weights[f"features.{index}.weight"] = torch.randn(out, into, 3, 3, generator=random) / (3 * into**0.5)
        weights[f"features.{index}.bias"] = torch.zeros(out)
    even = torch.full((1, 3 + 64 + 128 + 256 + 512 + 512, 1, 1), 0.1)
    distance = dists.Dists(weights, {"alpha": even, "beta": even})
    pixels = picture(48, 64)
    little, much = (
        np.clip(pixels + np.random.default_rng(0).normal(0, sigma, pixels.shape), 0, 255).astype(np.uint8)
        for sigma in (10, 60)
    )
    assert distance(pixels, pixels) == pytest.approx(0, abs=1e-6)
    assert 0 < distance(pixels, little) < distance(pixels, much) < 1


def test_public_sets_that_are_missing_are_not_left_out_silently(tmp_path, monkeypatch):
    monkeypatch.setenv("IMPASTO_BENCHMARKS", str(tmp_path))
    (tmp_path / "set5").mkdir()
    found = photographs.sets()
    assert list(found) == ["Set5", "Set14", "photographs"]
    assert (found["Set14"], found["photographs"]) == (tmp_path / "set14", PHOTOGRAPHS[0].parent)
    (tmp_path / "photographs").mkdir()
    assert photographs.sets()["photographs"] == tmp_path / "photographs"


def test_the_section_names_the_command_that_wrote_it():
    arguments = ["--set", "Set14", "--results", "docs/results.md", "--quality", "60"]
    assert photographs.command(arguments) == "python benchmarks/photographs.py --set Set14 --quality 60"
