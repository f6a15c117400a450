"""What happens to photographs before they are enlarged, checked by hand: blocks, noise levels, order, shares."""

import io

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from tests.conftest import picture
from trainer.data import Photographs, ResolutionPairs, list_photographs, reduce
from trainer.degradation import Degradation, Degradations, degrade, describe, draw, through_jpeg


def dice(seed=0):
    return np.random.default_rng(seed)


def photograph(side=128):
    return Image.fromarray(picture(side, side))


def luma(image):
    return np.asarray(image.convert("L"), float)


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_no_degradation_is_bicubic_to_the_pixel(factor):
    image = photograph()
    assert np.array_equal(degrade(image, factor, Degradation(), dice()), reduce(image, factor))


def test_a_jpeg_has_blocks_of_eight_pixels():
    ramp = np.linspace(60, 120, 128).astype(np.uint8)[None, :, None].repeat(128, 0).repeat(3, 2)
    found = luma(degrade(Image.fromarray(ramp), 1, Degradation(jpeg_quality=10), dice()))
    steps = np.abs(np.diff(found, axis=1)).max(axis=0)
    assert np.delete(steps, np.s_[7::8]).max() == 0  # of each block only the mean is left
    assert steps[7::8].max() == 10  # a mean is kept in steps of 80 / 8 levels


@pytest.mark.parametrize("quality", [30, 60, 95])
def test_a_jpeg_is_what_pillow_writes(quality):
    image, file = photograph(), io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    assert np.array_equal(through_jpeg(image, quality), Image.open(file))
    assert not np.array_equal(through_jpeg(image, quality), through_jpeg(image, quality, "4:4:4"))


@pytest.mark.parametrize("levels", [1.0, 4.0, 8.0])
def test_noise_has_the_level_that_was_asked_for(levels):
    grey = Image.new("RGB", (512, 512), (128, 128, 128))
    noisy = np.asarray(degrade(grey, 2, Degradation(noise_levels=levels), dice()), float)
    assert abs(noisy.mean() - 128) < 0.1
    assert abs(noisy.std() - np.hypot(levels, 12**-0.5)) < 0.02 * levels  # rounding adds a twelfth to the variance


def test_blur_is_a_gaussian_at_high_resolution():
    point = np.zeros((65, 65, 3), np.uint8)
    point[32, 32] = 255
    blurred = luma(degrade(Image.fromarray(point), 1, Degradation(blur_sigma=1.0), dice()))
    assert abs(blurred[32, 32] - 255 / (2 * np.pi)) < 6  # the peak of a Gaussian of sigma 1


def test_noise_comes_after_the_reduction_and_before_jpeg():
    grey = Image.new("RGB", (512, 512), (128, 128, 128))
    noise = Degradation(noise_levels=8.0)
    assert luma(degrade(grey, 4, noise, dice())).std() > 5  # a reduction by four after it would leave about 2
    coarse = Degradation(noise_levels=2.0, jpeg_quality=10)
    assert luma(degrade(grey, 4, coarse, dice())).std() < 0.5  # JPEG after it swallows noise of so few levels


def test_kernels_differ():
    image = Image.fromarray(dice().integers(0, 255, (64, 64, 3), np.uint8))
    kernels = Degradations().kernels
    found = {degrade(image, 4, Degradation(kernel=kernel), dice()).tobytes() for kernel in kernels}
    assert len(found) == len(kernels)


def test_shares_and_ranges_are_those_of_the_recipe():
    ranges, random = Degradations(clean_share=0.3, noise_share=0.5, jpeg_share=0.8), dice()
    drawn = [draw(ranges, random) for _ in range(4000)]
    clean = sum(each == Degradation() for each in drawn) / len(drawn)
    assert 0.28 < clean < 0.33  # a few of the others happen to get nothing
    qualities = [each.jpeg_quality for each in drawn if each.jpeg_quality is not None]
    assert (min(qualities), max(qualities)) == ranges.jpeg_quality
    assert abs(len(qualities) / len(drawn) - 0.7 * 0.8) < 0.03
    noise = [each.noise_levels for each in drawn if each.noise_levels]
    assert ranges.noise_levels[0] <= min(noise) < max(noise) <= ranges.noise_levels[1]
    blur = [each.blur_sigma for each in drawn if each.blur_sigma]
    assert ranges.blur_sigma[0] <= min(blur) < max(blur) <= ranges.blur_sigma[1]
    assert all(draw(Degradations(clean_share=1), random) == Degradation() for _ in range(50))


def test_a_degraded_pair_depends_on_the_seed_and_its_number_alone(photographs):
    files = Photographs(list_photographs([photographs]))

    def pairs(seed):
        return ResolutionPairs(files, 16, 2, 0.0, True, seed, 12, Degradations(clean_share=0.0))

    plain = ResolutionPairs(files, 16, 2, 0.0, True, 0, 12)
    forwards = [pairs(0)[i] for i in range(12)]
    again = pairs(0)
    for index in reversed(range(12)):
        low, high = again[index]
        assert np.array_equal(low, forwards[index][0])
        assert np.array_equal(high, plain[index][1])  # the crop and its turn are those without degradations
    assert any(not np.array_equal(low, plain[i][0]) for i, (low, _) in enumerate(forwards))
    assert any(not np.array_equal(pairs(1)[i][0], forwards[i][0]) for i in range(12))


@pytest.mark.parametrize(
    "wrong",
    [{"jpeg_quality": (90, 30)}, {"jpeg_quality": (0, 90)}, {"noise_levels": (-1, 8)}, {"clean_share": 1.5}],
)
def test_impossible_ranges_are_refused(wrong):
    with pytest.raises(ValidationError):
        Degradations(**wrong)


def test_the_card_names_all_ranges():
    text = describe(Degradations(clean_share=0.35))
    for part in ("35% antialiased bicubic", "0.2 to 1.5", "0 to 8 levels", "quality 30 to 95", "lanczos"):
        assert part in text
