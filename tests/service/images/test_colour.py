"""Colours come back: profiles, grey, inks. The networks here change nothing (see conftest.py)."""

import io
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from service.images.decode import decode, measure
from service.images.profile import Profile, srgb_icc
from service.images.restore import restore
from service.images.types import DecodeOptions
from tests.conftest import decoded, encoded, picture
from tests.files import ADOBE_RGB, DISPLAY_P3, chunk, cmyk_profile, grey_profile, png16, read_png16, rgb_profile

PROFILES = {"Display P3": rgb_profile(DISPLAY_P3), "Adobe RGB": rgb_profile(ADOBE_RGB, 2.19921875)}
PROFILES["linear light"] = rgb_profile(ADOBE_RGB, 1.0)
wide = pytest.mark.parametrize("name", PROFILES)


def patches(channels=3, side=16, seed=5):
    """uint8: an 8 x 8 board of random colours, the corners of the cube among them."""
    corners = np.array(np.meshgrid(*[[0, 255]] * channels)).reshape(channels, -1).T
    colours = np.random.default_rng(seed).integers(0, 256, (64, channels))
    colours[: len(corners)] = corners
    return colours.reshape(8, 8, channels).repeat(side, 0).repeat(side, 1).astype(np.uint8)


def centres(pixels, side):
    """The middle of every patch."""
    return pixels[side // 2 :: side, side // 2 :: side].astype(int)


def icc_of(response):
    return Image.open(io.BytesIO(response.content)).info.get("icc_profile")


def seen(pixels, icc):
    """What a colour-managed viewer shows on an sRGB screen."""
    source, target = (ImageCms.ImageCmsProfile(io.BytesIO(each)) for each in (icc, srgb_icc()))
    return np.asarray(ImageCms.profileToProfile(Image.fromarray(pixels), source, target, renderingIntent=1))


@wide
def test_a_wide_picture_comes_back_with_the_same_colours_to_within_a_level(upscaled, name):
    board = patches()
    response = upscaled(encoded(board, icc_profile=PROFILES[name]))
    assert icc_of(response) == PROFILES[name]
    assert response.headers["impasto-profile"] == "kept"
    assert np.abs(centres(decoded(response.content), 32) - centres(board, 16)).max() <= 1


@pytest.mark.parametrize("name", ["Display P3", "Adobe RGB"])
def test_so_does_a_photograph_to_the_last_bit(upscaled, name):
    photograph = picture(120, 160)
    tagged = decoded(upscaled(encoded(photograph, icc_profile=PROFILES[name])).content)
    untagged = decoded(upscaled(encoded(photograph)).content)
    assert np.array_equal(tagged, untagged)


@wide
def test_a_style_that_changes_nothing_loses_nothing(name):
    board = patches()
    data = encoded(board, icc_profile=PROFILES[name])
    there = decode(data, measure(data, 10**6, 1), DecodeOptions("png"))
    assert not np.array_equal(there.frames[0].pixels, board)  # the network sees sRGB
    assert np.abs(restore(there, [there.frames[0].pixels])[0].astype(int) - board).max() <= 1


@wide
def test_a_style_that_paints_is_not_drawn_over_with_what_was_lost(name):
    board = patches()
    data = encoded(board, icc_profile=PROFILES[name])
    there = decode(data, measure(data, 10**6, 1), DecodeOptions("png"))
    painted = 255 - there.frames[0].pixels
    answer = restore(there, [painted])[0]
    far = np.abs(painted.astype(int) - there.frames[0].pixels).max(axis=2) >= 32
    assert far.mean() > 0.9
    assert np.array_equal(answer[far], Profile(PROFILES[name], "RGB").from_srgb(painted)[far])


@wide
def test_the_network_gets_srgb_and_so_does_the_client_that_asks_for_it(upscaled, name):
    board = patches()
    response = upscaled(encoded(board, icc_profile=PROFILES[name]), profile="srgb")
    assert icc_of(response) == srgb_icc()
    assert response.headers["impasto-profile"] == "srgb"
    assert np.abs(centres(decoded(response.content), 32) - centres(seen(board, PROFILES[name]), 16)).max() <= 1


@wide
@pytest.mark.parametrize("kind", ["jpeg", "webp", "avif"])
def test_every_format_carries_the_profile(upscaled, name, kind):
    response = upscaled(encoded(picture(), kind, icc_profile=PROFILES[name]))
    assert icc_of(response) == PROFILES[name]


def test_an_untagged_picture_stays_untagged_or_is_tagged_as_srgb(upscaled):
    plain = upscaled(encoded(picture()))
    assert icc_of(plain) is None
    assert "impasto-profile" not in plain.headers
    tagged = upscaled(encoded(picture()), profile="srgb")
    assert icc_of(tagged) == srgb_icc()
    assert np.array_equal(decoded(tagged.content), decoded(plain.content))


def test_an_srgb_profile_is_handed_on_and_the_numbers_with_it(upscaled):
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    response = upscaled(encoded(picture(), icc_profile=icc))
    assert icc_of(response) == icc
    assert np.array_equal(decoded(response.content), decoded(upscaled(encoded(picture())).content))


@pytest.mark.parametrize(
    "garbage",
    [
        b"not a profile",
        bytes(500),
        srgb_icc()[:200],
        srgb_icc()[:128] + b"\xff" * 400,
        cmyk_profile(),
        grey_profile(2.2),
    ],
    ids=["text", "zeros", "cut", "overwritten", "of inks", "of grey"],
)
@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "avif"])
def test_a_profile_that_cannot_be_used_is_ignored_and_the_answer_says_so(upscaled, garbage, kind):
    response = upscaled(encoded(picture(), kind, icc_profile=garbage), format="png")
    assert response.headers["impasto-profile"] == "ignored"
    assert icc_of(response) is None
    assert np.array_equal(decoded(response.content), decoded(upscaled(encoded(picture(), kind), format="png").content))


@pytest.mark.parametrize("kind", ["png", "jpeg", "avif"])
def test_grey_stays_grey(upscaled, kind):
    grey = picture()[..., 0]
    response = upscaled(encoded(grey, kind))
    image = Image.open(io.BytesIO(response.content))
    assert image.mode == "L"
    assert image.size == (120, 80)
    assert np.abs(np.asarray(image)[1::2, 1::2].astype(int) - grey).mean() < 6


def test_grey_with_transparency_stays_grey(upscaled):
    pixels = picture()[..., :2]
    answer = decoded(upscaled(encoded(pixels)).content)
    assert answer.shape == (80, 120, 2)


def test_a_style_gives_grey_pictures_colour(stylised):
    assert decoded(stylised(encoded(picture()[..., 0])).content).shape == (40, 60, 3)


def test_the_profile_of_a_grey_picture_is_kept_where_the_answer_is_grey(upscaled, stylised):
    linear, grey = grey_profile(1.0), patches(1)[..., 0]
    kept = upscaled(encoded(grey, icc_profile=linear))
    assert icc_of(kept) == linear
    assert kept.headers["impasto-profile"] == "kept"
    assert np.array_equal(centres(decoded(kept.content), 32), centres(grey, 16))
    for response in (
        upscaled(encoded(grey, icc_profile=linear), profile="srgb"),
        upscaled(encoded(grey, icc_profile=linear), format="webp"),
        stylised(encoded(grey, icc_profile=linear)),
    ):
        assert response.headers["impasto-profile"] == "srgb"
        assert icc_of(response) in {None, srgb_icc()}
    converted = centres(decoded(upscaled(encoded(grey, icc_profile=linear), profile="srgb").content), 32)
    assert np.abs(converted - 255 * encoded_light(centres(grey, 16) / 255)).max() <= 1


def encoded_light(x):
    return np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055)


def jpeg_of_inks(icc=None, adobe=True):
    """A CMYK JPEG of flat patches; Pillow writes it as Photoshop does, inverted, with an Adobe marker."""
    inks = patches(4)
    options = {"icc_profile": icc} if icc else {}
    buffer = io.BytesIO()
    Image.frombytes("CMYK", inks.shape[1::-1], inks.tobytes()).save(buffer, "JPEG", quality=100, **options)
    data = buffer.getvalue()
    assert b"Adobe" in data
    return inks, data


def test_inks_with_their_profile_are_converted(upscaled):
    inks, data = jpeg_of_inks(cmyk_profile())
    response = upscaled(data, format="png")
    assert response.headers["impasto-profile"] == "srgb"
    assert icc_of(response) == srgb_icc()
    source, target = (ImageCms.ImageCmsProfile(io.BytesIO(each)) for each in (cmyk_profile(), srgb_icc()))
    flags = ImageCms.Flags.BLACKPOINTCOMPENSATION
    image = Image.frombytes("CMYK", inks.shape[1::-1], inks.tobytes())
    expected = np.asarray(ImageCms.profileToProfile(image, source, target, 1, "RGB", flags=flags))
    difference = np.abs(centres(decoded(response.content), 32) - centres(expected, 16))
    assert np.percentile(difference, 95) <= 3  # JPEG's own
    white = decoded(response.content)[16, 16]
    assert (white == 255).all()  # no ink


def test_inks_without_a_profile_each_take_light_away(upscaled):
    inks, data = jpeg_of_inks()
    answer = centres(decoded(upscaled(data, format="png").content), 32)
    light = (255 - centres(inks, 16)) / 255
    assert np.percentile(np.abs(answer - 255 * light[..., :3] * light[..., 3:]), 95) <= 3


@wide
def test_sixteen_bits_come_back_in_their_own_colours_too(upscaled, name):
    board = patches().astype(np.uint16) * 257
    icc = PROFILES[name]
    response = upscaled(png16(board, chunk(b"iCCP", b"x\0\0" + zlib.compress(icc))))
    assert icc_of(response) == icc
    assert np.abs(centres(read_png16(response.content), 32) - centres(board, 16)).max() <= 1
