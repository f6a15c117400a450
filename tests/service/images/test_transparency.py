"""Transparency: no dark fringes, no jagged edges, nothing opaque that becomes transparent."""

import io

import numpy as np
import pytest
from PIL import Image

from service.images.alpha import bounded, filled
from tests.conftest import decoded, encoded
from tests.files import png16, read_png16

BRIGHT = (250, 210, 40)


def disc(side=48, hidden=(0, 0, 0)):
    """A bright disc with a soft edge on nothing; under full transparency lies `hidden`, as in most files."""
    y, x = np.mgrid[0:side, 0:side] - (side - 1) / 2
    alpha = np.clip(side / 3 - np.hypot(x, y) + 0.5, 0, 1)
    pixels = np.empty((side, side, 4), np.uint8)
    pixels[..., :3], pixels[..., 3] = BRIGHT, np.rint(255 * alpha)
    pixels[alpha == 0, :3] = hidden
    return pixels


def over(rgba, background):
    """Laid on a background, 0 to 255."""
    alpha = rgba[..., 3:] / 255
    return rgba[..., :3] * alpha + background * (1 - alpha)


@pytest.mark.parametrize("kind", ["png", "webp", "tiff"])
@pytest.mark.parametrize("factor", [2, 4])
def test_a_disc_has_no_dark_fringe(plain, kind, factor):
    options = {"lossless": True, "exact": True} if kind == "webp" else {}
    data = encoded(disc(), kind, **options)
    large = decoded(plain.post(f"/upscale?factor={factor}&format=png", content=data).content)
    assert large.shape == (48 * factor, 48 * factor, 4)
    assert np.abs(large[large[..., 3] > 0][:, :3].astype(int) - BRIGHT).max() <= 1
    white = over(large, 255)
    assert white.min(axis=(0, 1)) == pytest.approx(BRIGHT, abs=1.5)  # nothing is darker than the disc


def test_what_lies_under_transparency_does_not_matter(upscaled, stylised):
    for post in (upscaled, stylised):
        black, white = (decoded(post(encoded(disc(hidden=each))).content) for each in ((0, 0, 0), (255, 0, 255)))
        assert np.array_equal(black, white)


def test_opaque_stays_opaque_and_invisible_stays_invisible(upscaled):
    large = decoded(upscaled(encoded(disc())).content)[..., 3]
    small = disc()[..., 3]
    inside = np.zeros_like(small, bool)
    inside[1:-1, 1:-1] = np.min([np.roll(small, (dy, dx), (0, 1)) for dy in (-1, 0, 1) for dx in (-1, 0, 1)], 0)[
        1:-1, 1:-1
    ]
    assert inside.any()
    assert (large[inside.repeat(2, 0).repeat(2, 1)] > 0).all()
    assert large.max() == 255
    assert large.min() == 0
    steps = np.abs(np.diff(large.astype(int), axis=1)).max()
    assert steps < 160  # a soft edge, not stairs


def test_a_style_leaves_transparency_as_it_is(stylised):
    answer = decoded(stylised(encoded(disc(64))).content)
    assert np.array_equal(answer[..., 3], disc(64)[..., 3])


def test_a_jpeg_is_laid_on_white(upscaled):
    flat = decoded(upscaled(encoded(disc()), format="jpeg", quality=95).content)
    assert flat.shape == (96, 96, 3)
    assert flat[:6, :6].min() > 250
    assert flat.min(axis=(0, 1)) == pytest.approx(BRIGHT, abs=24)  # JPEG rings a little


def test_an_opaque_picture_keeps_its_channel(upscaled):
    pixels = disc()
    pixels[..., 3] = 255
    assert (decoded(upscaled(encoded(pixels)).content)[..., 3] == 255).all()


def test_an_invisible_picture_stays_invisible(upscaled):
    assert (decoded(upscaled(encoded(np.zeros((9, 9, 4), np.uint8))).content)[..., 3] == 0).all()


def test_a_palette_with_transparency(upscaled):
    image = Image.fromarray(disc()[..., :3]).quantize(8)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", transparency=image.getpixel((0, 0)))
    large = decoded(upscaled(buffer.getvalue()).content)
    assert large.shape == (96, 96, 4)
    assert large[0, 0, 3] == 0
    assert large[48, 48, 3] == 255


def test_sixteen_bits_are_transparent_in_sixteen_bits(upscaled):
    deep = disc(hidden=BRIGHT).astype(np.uint16) * 257
    ramp = np.linspace(1, 65535, 48 * 48).reshape(48, 48).astype(np.uint16)
    deep[..., 3] = ramp
    large = read_png16(upscaled(png16(deep)).content)
    assert large.shape == (96, 96, 4)
    assert np.abs(large[..., :3].astype(int) - np.array(BRIGHT) * 257).max() <= 1
    assert len(np.unique(large[..., 3])) > 2000


def test_hidden_pixels_take_the_colour_of_their_neighbours():
    pixels, alpha = np.zeros((5, 9, 3), np.uint8), np.zeros((5, 9), np.uint8)
    pixels[:, 0], alpha[:, 0] = (200, 100, 0), 255
    pixels[:, 8], alpha[:, 8] = (0, 100, 200), 255
    full = filled(pixels, alpha)
    assert (full[:, 0] == (200, 100, 0)).all()
    assert np.abs(full[:, 1:8, 1].astype(int) - 100).max() <= 1
    assert full[2, 1, 0] > 150
    assert (np.diff(full[2, :, 0].astype(int)) <= 0).all()
    assert (np.diff(full[2, :, 2].astype(int)) >= 0).all()


def test_the_networks_alpha_is_held_between_its_neighbours():
    alpha = np.array([[0, 0, 255, 255]], np.uint8)
    wild = np.array([[9, 9, 40, 200, 90, 250, 240, 7], [9, 9, 40, 200, 90, 250, 240, 7]], np.uint8)
    assert bounded(wild, alpha)[0].tolist() == [0, 0, 40, 200, 90, 250, 255, 255]
