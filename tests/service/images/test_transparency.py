"""Transparency: no dark fringes, no jagged edges, nothing opaque that becomes transparent."""

import io

import numpy as np
import pytest
from PIL import Image

from service.images.alpha import enlarged, filled
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


def deepest_dip(alpha):
    """By how many levels a value on a row or column is lower than one farther out, on one side of a convex shape."""
    halves = [
        half
        for each in (alpha, alpha.T)
        for half in (each[:, : each.shape[1] // 2], each[:, ::-1][:, : each.shape[1] // 2])
    ]
    return max(int((np.maximum.accumulate(half, axis=1) - half).max()) for half in halves)


def cut_out(opacity=255, side=60):
    """A disc with a hard edge on nothing."""
    y, x = np.mgrid[0:side, 0:side] - side / 2
    pixels = np.zeros((side, side, 4), np.uint8)
    pixels[np.hypot(x, y) < 22.4] = (250, 240, 60, opacity)
    return pixels


@pytest.mark.parametrize("kind", ["png", "webp", "tiff", "gif"])
@pytest.mark.parametrize("query", ["factor=2", "factor=3", "factor=4"])
def test_a_hard_cut_out_has_no_holes_and_no_specks(client, kind, query):
    pixels = cut_out()
    if kind == "gif":
        image = Image.fromarray(pixels)
        buffer = io.BytesIO()
        image.save(buffer, "GIF")
        data = buffer.getvalue()
    else:
        data = encoded(pixels, kind, **({"lossless": True} if kind == "webp" else {}))
    alpha = decoded(client.post(f"/upscale?{query}&format=png", content=data).content)[..., 3].astype(int)
    assert (alpha.min(), alpha.max()) == (0, 255)
    assert deepest_dip(alpha) <= 20  # of the network: 148
    assert deepest_dip(255 - alpha[:, ::-1]) >= 200  # the measure sees an edge
    soft = ((alpha > 12) & (alpha < 243)).sum() / (2 * np.pi * 22.4)  # pixels along the edge, per pixel of its length
    assert soft < 1.2 * (alpha.shape[0] / 60) ** 2  # no softer than one pixel of the input


@pytest.mark.parametrize("opacity", [1, 128, 254])
def test_a_half_transparent_cut_out_does_not_overshoot(upscaled, opacity):
    alpha = decoded(upscaled(encoded(cut_out(opacity))).content)[..., 3]
    assert (alpha.min(), alpha.max()) == (0, opacity)
    assert (alpha[40:80, 40:80] == opacity).all()


@pytest.mark.parametrize("deep", [np.uint8, np.uint16])
def test_enlarged_alpha_stays_between_its_neighbours(deep):
    unit = np.iinfo(deep).max // 255
    alpha = np.array([[0, 0, 90, 180, 180, 180]] * 2, deep) * unit
    answer = enlarged(alpha, 4, 12)
    assert answer.dtype == deep
    assert (answer[0] == answer[3]).all()
    steps = (answer[0] / unit).round().astype(int)
    assert (np.diff(steps) >= 0).all()
    assert steps[[0, 1, 2, -4, -3, -2, -1]].tolist() == [0, 0, 0, 180, 180, 180, 180]
    assert 0 < steps[4] < 90 < steps[5] < 180
