"""Whether a picture has traces of compression: tables, blocks, and what must not be taken for blocks."""

import io

import numpy as np
import pytest
from PIL import Image

from service.images.decode import decode, measure
from service.images.origin import on_grid
from service.images.types import DecodeOptions
from tests.conftest import encoded


def scene(side=200, seed=0):
    """A picture with detail at all scales, as photographs have it, and no grid."""
    random = np.random.default_rng(seed)
    total = np.zeros((side, side, 3))
    for cells, weight in ((5, 70), (23, 35), (71, 22), (side, 9)):
        values = random.normal(0, 1, (cells, cells, 3)).astype(np.float32)
        for channel in range(3):
            plane = Image.fromarray(values[..., channel]).resize((side, side), Image.Resampling.BICUBIC)
            total[..., channel] += weight * np.asarray(plane)
    return (128 + total).clip(0, 255).astype(np.uint8)


def through(pixels, quality, **options):
    return np.asarray(Image.open(io.BytesIO(encoded(pixels, "jpeg", quality=quality, **options))).convert("RGB"))


def origin(data):
    header = measure(data, 10**7, 10)
    return decode(data, header, DecodeOptions("png", enlarging=True, judging=True)).origin


@pytest.mark.parametrize(("quality", "expected"), [(30, "photo"), (75, "photo"), (95, "photo"), (98, "clean")])
def test_a_jpeg_is_judged_by_its_tables(quality, expected):
    assert origin(encoded(scene(), "jpeg", quality=quality)) == expected


def test_a_flat_jpeg_too():
    assert origin(encoded(np.full((40, 40, 3), 90, np.uint8), "jpeg", quality=60)) == "photo"
    assert origin(encoded(np.full((1, 1, 3), 90, np.uint8), "jpeg", quality=60)) == "photo"
    assert origin(encoded(np.full((1, 1, 3), 90, np.uint8), "jpeg", quality=99)) == "clean"


@pytest.mark.parametrize("kind", ["png", "tiff", "bmp"])
def test_lossless_formats_are_judged_by_their_blocks(kind):
    assert origin(encoded(scene(), kind)) == "clean"
    assert origin(encoded(through(scene(), 75), kind)) == "photo"


def test_a_webp_is_judged_by_its_kind():
    assert origin(encoded(scene(), "webp", quality=80)) == "photo"
    assert origin(encoded(scene(), "webp", lossless=True)) == "clean"
    assert origin(encoded(through(scene(), 60), "webp", lossless=True)) == "photo"


def test_a_jpeg_written_anew_with_fine_tables_keeps_its_blocks():
    assert origin(encoded(through(scene(), 60), "jpeg", quality=98)) == "photo"


@pytest.mark.parametrize(("top", "left"), [(1, 0), (3, 5), (7, 7)])
def test_a_cropped_grid_is_found(top, left):
    assert origin(encoded(through(scene(), 75)[top:, left:])) == "photo"


def test_turned_and_grey_pictures_too():
    blocked = through(scene(), 70)
    assert origin(encoded(np.rot90(blocked).copy())) == "photo"
    assert origin(encoded(np.asarray(Image.fromarray(blocked).convert("L")))) == "photo"
    assert origin(encoded(np.asarray(Image.fromarray(scene()).convert("L")))) == "clean"


@pytest.mark.parametrize("times", [2, 4, 8, 16])
def test_squares_are_no_blocks(times):
    art = np.random.default_rng(1).integers(0, 255, (24, 24, 3), np.uint8).repeat(times, 0).repeat(times, 1)
    assert origin(encoded(art)) == "clean"


def test_reducing_removes_the_grid():
    reduced = Image.fromarray(through(scene(400), 75)).resize((219, 219), Image.Resampling.BICUBIC)
    assert origin(encoded(np.asarray(reduced))) == "clean"


def test_without_blocks_all_grids_are_alike():
    assert 0.9 < on_grid(scene()) <= 1
    assert on_grid(np.zeros((200, 200, 3), np.uint8)) == 1
    assert on_grid(scene(23)) == 1
    deep = scene().astype(np.uint16) * 257
    assert on_grid(deep) == pytest.approx(on_grid(scene()), abs=0.01)


def test_it_is_not_asked_for_by_default():
    data = encoded(scene(), "jpeg", quality=30)
    assert decode(data, measure(data, 10**7, 10), DecodeOptions("png", enlarging=True)).origin == "clean"
