"""HEIC, TIFF output, gain maps, lossless WebP, and the colours and transparency that PNGs state in their own ways."""

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.conftest import decoded, encoded, picture
from tests.files import ADOBE_RGB, DISPLAY_P3, animation, chunk, png16, rgb_profile
from tests.heic import GRADIENT, HALF_TRANSPARENT, LYING, TEN_BITS
from tests.service.http.test_bad_input import refused

SAME_SIZE = "/upscale?factor=1"


def close(one, other, levels=12):
    return np.abs(one.astype(int) - other).max() <= levels


def test_a_heic_is_read_upright_with_its_exif(plain):
    response = plain.post(f"{SAME_SIZE}&metadata=keep", content=LYING)
    assert response.headers["content-type"] == "image/jpeg"
    image = Image.open(io.BytesIO(response.content))
    assert close(np.asarray(image), np.rot90(GRADIENT, 3), 20)
    assert image.getexif()[0x010F] == "A camera"
    assert image.getexif().get(0x0112, 1) == 1


def test_a_heic_keeps_its_transparency_and_declares_its_depth(plain):
    response = plain.post(SAME_SIZE, content=HALF_TRANSPARENT)
    assert response.headers["content-type"] == "image/png"
    pixels = decoded(response.content)
    assert (pixels[:, :22, 3] > 240).all()
    assert (pixels[:, 26:, 3] < 15).all()
    deep = plain.post(f"{SAME_SIZE}&format=png", content=TEN_BITS)
    assert deep.headers["impasto-depth"] == "8"
    assert close(decoded(deep.content), GRADIENT)


def test_a_damaged_heic_is_refused(plain):
    for data in (LYING[:-30], LYING[: len(LYING) // 2], LYING[:40]):
        refused(plain.post(SAME_SIZE, content=data), 422, "broken_image")


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_tiff_is_written_without_loss(plain, dtype, channels):
    values = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (30, 40, channels)).astype(dtype)
    values[..., -1:] |= values[..., -1:] == 0  # (under full transparency, colours are nobody's)
    source = png16(values) if dtype == np.uint16 else encoded(values.squeeze())
    for query in ("&format=tiff", ""):
        response = plain.post(SAME_SIZE + query, content=source, headers={"Accept": "image/tiff"})
        assert response.headers["content-type"] == "image/tiff"
        assert np.array_equal(tifffile.imread(io.BytesIO(response.content)), values.squeeze())


def test_a_tiff_has_profile_and_metadata(plain):
    icc = rgb_profile(ADOBE_RGB, 2.2)
    made = Image.Exif()
    made[0x010F] = "A camera"
    made.get_ifd(0x8769)[0x8827] = 400
    source = encoded(picture(), "jpeg", icc_profile=icc, exif=made.tobytes(), dpi=(300, 300))
    image = Image.open(io.BytesIO(plain.post(f"{SAME_SIZE}&format=tiff&metadata=keep", content=source).content))
    assert image.info["icc_profile"] == icc
    assert image.info["dpi"] == (300, 300)
    assert image.getexif()[0x010F] == "A camera"
    assert image.getexif().get_ifd(0x8769)[0x8827] == 400


def segment(marker, content):
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


XMP_START = b"http://ns.adobe.com/xap/1.0/\0"
GAIN_MAPS = {
    "Ultra HDR": segment(
        0xE1, XMP_START + b"<x xmlns:hdrgm='http://ns.adobe.com/hdr-gain-map/1.0/' hdrgm:Version='1.0'/>"
    ),
    "ISO": segment(0xE2, b"urn:iso:std:iso:ts:21496:-1\0\0\0\0\0"),
}


@pytest.mark.parametrize("kind", GAIN_MAPS)
def test_a_gain_map_that_is_dropped_is_declared(plain, kind):
    data = encoded(picture(), "jpeg")
    with_map = data[:2] + GAIN_MAPS[kind] + data[2:] + encoded(picture(10, 15)[..., 0], "jpeg")
    assert plain.post(SAME_SIZE, content=with_map).headers["impasto-gain-map"] == "dropped"
    assert "impasto-gain-map" not in plain.post(SAME_SIZE, content=data).headers


@pytest.mark.parametrize("alpha", [False, True])
def test_a_lossless_webp_stays_one_unless_less_is_asked_for(plain, alpha):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 4 if alpha else 3)).astype(np.uint8)
    data = encoded(pixels, "webp", lossless=True, exact=True)
    visible = pixels[..., -1] > 0 if alpha else np.ones((20, 30), bool)
    for query in ("", "&quality=100", "&quality=100&format=webp"):
        response = plain.post(SAME_SIZE + query, content=data)
        assert response.headers["content-type"] == "image/webp"
        assert np.array_equal(decoded(response.content)[visible], pixels[visible])
    for source, query in ((data, "&quality=90"), (encoded(pixels, "webp"), "")):
        assert b"VP8L" not in plain.post(SAME_SIZE + query, content=source).content[:60]


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "avif", "tiff", "bmp", "gif"])
def test_lossless_is_taken_at_its_word(plain, kind):
    data = encoded(picture(), kind)
    expected = decoded(plain.post(f"{SAME_SIZE}&format=png", content=data).content)
    own = {"webp": "image/webp"}.get(kind, "image/png")
    for query, accept, media_type in (
        ("", "*/*", own),
        ("&format=webp&quality=20", "*/*", "image/webp"),
        ("&format=tiff", "*/*", "image/tiff"),
        ("", "image/avif, image/webp;q=0.9", "image/webp"),
        ("", "image/jpeg, image/*;q=0.1", own),
    ):
        headers = {"accept": accept}
        response = plain.post(f"{SAME_SIZE}&lossless=true{query}", content=data, headers=headers)
        assert response.headers["content-type"] == media_type, (query, accept)
        pixels = decoded(response.content)
        grey = pixels[..., 0] if pixels.ndim > expected.ndim else pixels  # WebP has no grey
        assert np.array_equal(grey, expected), (query, accept)


def test_an_animation_without_loss_stays_one(plain):
    frames = [picture(seed=seed) for seed in (1, 2)]
    gif = animation("gif", frames, 100)
    response = plain.post(f"{SAME_SIZE}&lossless=true", content=gif)
    assert response.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(response.content)).n_frames == 2
    webp = plain.post(f"{SAME_SIZE}&lossless=true&format=webp", content=animation("webp", frames, 100, lossless=True))
    for number, frame in enumerate(frames):
        with Image.open(io.BytesIO(webp.content)) as image:
            image.seek(number)
            assert np.array_equal(np.asarray(image.convert("RGB")), frame)


def test_a_format_that_always_loses_something_is_refused_as_lossless(plain):
    data = encoded(picture(), "jpeg")
    problem = refused(plain.post(f"{SAME_SIZE}&format=jpeg&lossless=true", content=data), 422, "invalid_parameter")
    assert problem["detail"] == (
        "query parameter 'lossless' is 'true': format 'jpeg' always has loss; expected format png, tiff, webp, or none"
    )
    headers = {"accept": "image/jpeg, image/avif"}
    problem = refused(plain.post(f"{SAME_SIZE}&lossless=true", content=data, headers=headers), 406, "not_acceptable")
    assert problem["expected"] == ["image/png", "image/webp", "image/tiff"]


def test_loss_can_be_asked_for(plain):
    data = encoded(picture(), "webp", lossless=True)
    assert b"VP8L" in plain.post(SAME_SIZE, content=data).content[:60]
    assert b"VP8L" not in plain.post(f"{SAME_SIZE}&lossless=false", content=data).content[:60]
    assert plain.post(f"{SAME_SIZE}&lossless=false&format=jpeg", content=data).status_code == 200


def small_grey_png(bits, key, values):
    """A grey PNG of few bits with a transparent level."""
    per_byte, rows = 8 // bits, b""
    for row in values:
        groups = [row[at : at + per_byte] for at in range(0, len(row), per_byte)]
        places = [bits * (per_byte - 1 - place) for place in range(per_byte)]
        rows += b"\0" + bytes(sum(int(v) << p for v, p in zip(group, places, strict=True)) for group in groups)
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], bits, 0, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"tRNS", struct.pack(">H", key)), chunk(b"IDAT", zlib.compress(rows)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("bits", "key"), [(b, k) for b in (1, 2, 4, 8) for k in sorted({0, 1, 2**b - 1})])
def test_a_transparent_level_of_any_depth(plain, bits, key):
    values = np.arange(32 * 32).reshape(32, 32) % 2**bits
    pixels = decoded(plain.post(f"{SAME_SIZE}&format=png", content=small_grey_png(bits, key, values)).content)
    assert np.array_equal(pixels[..., -1] == 0, values == key)


def png_with(*chunks, pixels=None):
    data = encoded(picture() if pixels is None else pixels)
    return data[:33] + b"".join(chunks) + data[33:]


def fixed(*values):
    return struct.pack(f">{len(values)}I", *(round(value * 100_000) for value in values))


P3_PRIMARIES = fixed(0.3127, 0.3290, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060)
STATED = {
    "cICP": [chunk(b"cICP", bytes([12, 13, 0, 1]))],
    "cICP before gAMA": [chunk(b"gAMA", fixed(1.0)), chunk(b"cICP", bytes([12, 13, 0, 1]))],
    "cHRM": [chunk(b"cHRM", P3_PRIMARIES)],
    "gAMA and cHRM": [chunk(b"gAMA", fixed(1 / 2.2)), chunk(b"cHRM", P3_PRIMARIES)],
}


@pytest.mark.parametrize("name", STATED)
def test_a_png_that_states_display_p3_in_numbers_is_as_one_with_its_profile(plain, name):
    expected = plain.post(
        f"{SAME_SIZE}&profile=srgb&format=png", content=encoded(picture(), icc_profile=rgb_profile(DISPLAY_P3))
    )
    response = plain.post(f"{SAME_SIZE}&profile=srgb&format=png", content=png_with(*STATED[name]))
    assert response.headers["impasto-profile"] == "srgb"
    assert close(decoded(response.content), decoded(expected.content), 2)
    assert not close(decoded(response.content), picture(), 5)


@pytest.mark.parametrize("gamma", [1.0, 1.8])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_gamma_of_a_png_is_applied(plain, gamma, channels):
    pixels = np.tile(np.arange(0, 256, 5, dtype=np.uint8)[:, None, None], (1, 8, channels)).squeeze()
    data = png_with(chunk(b"gAMA", fixed(1 / gamma)), pixels=pixels)
    response = plain.post(f"{SAME_SIZE}&profile=srgb&format=png", content=data)
    light = (pixels / 255.0) ** gamma
    curve = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    assert close(decoded(response.content), np.rint(255 * curve), 2)


@pytest.mark.parametrize(
    "chunks",
    [
        [],
        [chunk(b"gAMA", fixed(1 / 2.2))],
        [chunk(b"sRGB", b"\0"), chunk(b"gAMA", fixed(1.0))],
        [chunk(b"cICP", bytes([1, 13, 0, 1]))],
        [chunk(b"cICP", bytes([9, 16, 0, 1]))],
        [chunk(b"gAMA", fixed(0))],
        [chunk(b"cHRM", bytes(32))],
    ],
)
def test_what_says_srgb_or_nonsense_changes_nothing(plain, chunks):
    response = plain.post(f"{SAME_SIZE}&format=png", content=png_with(*chunks))
    assert np.array_equal(decoded(response.content), picture())
    assert "impasto-profile" not in response.headers


def damaged_chunk(name, content):
    whole = chunk(name, content)
    return whole[:-1] + bytes([whole[-1] ^ 1])


@pytest.mark.parametrize(
    "extra",
    [
        damaged_chunk(b"tEXt", b"a\0b"),
        damaged_chunk(b"gAMA", fixed(1.0)),
        damaged_chunk(b"iCCP", b"p\0\0" + zlib.compress(b"x")),
        chunk(b"zTXt", b"long\0\0" + zlib.compress(b"x" * 2_000_000)),
        chunk(b"iTXt", b"long\0\1\0\0\0" + zlib.compress(b"x" * 2_000_000)),
        chunk(b"tEXt", b"long\0" + b"x" * 2_000_000),
        chunk(b"abCd", b"unknown"),
    ],
)
@pytest.mark.parametrize("deep", [False, True])
def test_what_is_beside_the_pixels_of_a_png_is_no_reason_to_refuse_it(plain, extra, deep):
    values = picture().astype(np.uint16) * 257
    data = png16(values, extra) if deep else png_with(extra)
    for metadata in ("strip", "keep"):
        response = plain.post(f"{SAME_SIZE}&metadata={metadata}", content=data)
        assert response.status_code == 200, response.text
        assert (response.headers.get("impasto-profile"), len(response.content) > 1000) == (None, True)


@pytest.mark.parametrize("deep", [False, True])
def test_damage_of_the_pixels_of_a_png_is_named(plain, deep):
    whole = png16(picture().astype(np.uint16)) if deep else encoded(picture())
    data = bytearray(whole)
    data[data.index(b"IDAT") + 100] ^= 0x55
    assert "checksum" in refused(plain.post(SAME_SIZE, content=bytes(data)), 422, "broken_image")["detail"]
    assert plain.post(SAME_SIZE, content=whole[:-12]).status_code == 200  # without IEND
    refused(plain.post(SAME_SIZE, content=whole[: len(whole) * 3 // 4]), 422, "broken_image")
