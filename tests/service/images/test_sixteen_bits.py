"""Sixteen bits in, sixteen bits out; and never cut in silence."""

import io

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from service.images.untrusted import avif
from tests.conftest import decoded, encoded
from tests.files import grey_profile, png16, read_png16, tiff16
from tests.service.http.test_bad_input import refused


def ramp(channels, height=40, width=60, seed=0):
    """uint16 (H, W, channels): a slow gradient whose steps are far below one of 256, opaque where there is alpha."""
    y, x = np.mgrid[0:height, 0:width]
    values = np.stack([20_000 + 37 * x + 11 * y, 50_000 - 29 * x, 9_000 + 41 * y, 0 * x], axis=-1)
    values = values[..., :channels] if channels != 2 else values[..., [0, 3]]
    if channels in {2, 4}:
        values[..., -1] = 65_535
    return values.astype(np.uint16)


def bicubic(values, factor):
    """float64 (fH, fW, C), the network's own part: nothing of the service's."""
    tensor = torch.from_numpy(values.astype(np.float64)).permute(2, 0, 1)[None]
    large = F.interpolate(tensor, scale_factor=float(factor), mode="bicubic", align_corners=False)
    return large[0].permute(1, 2, 0).numpy().clip(0, 65_535)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_png_is_enlarged_in_sixteen_bits(upscaled, channels):
    response = upscaled(png16(ramp(channels)))
    assert "impasto-depth" not in response.headers
    answer = read_png16(response.content)
    assert answer.shape == (80, 120, channels)
    # float32 has 24 bits for 16: half a unit of rounding, and a little
    assert np.abs(answer - bicubic(ramp(channels), 2)).max() < 0.6


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_16_bit_tiff_gives_a_16_bit_png(upscaled, channels):
    response = upscaled(tiff16(ramp(channels), extra=2 if channels == 4 else None))
    assert response.headers["content-type"] == "image/png"
    assert np.array_equal(read_png16(response.content), read_png16(upscaled(png16(ramp(channels))).content))


def test_a_premultiplied_tiff_is_read_as_what_it_shows(upscaled):
    values = ramp(4)
    values[..., 3] = 32_768
    multiplied = values.copy()
    multiplied[..., :3] = np.rint(values[..., :3] * (32_768 / 65_535))
    answer = read_png16(upscaled(tiff16(multiplied, extra=1)).content)
    assert np.abs(answer.astype(int) - read_png16(upscaled(png16(values)).content)).max() <= 3


def test_a_tiff_lying_on_its_side_is_put_upright(upscaled):
    for orientation, turned in {6: np.rot90(ramp(3), 1), 3: ramp(3)[::-1, ::-1], 5: ramp(3).transpose(1, 0, 2)}.items():
        answer = read_png16(upscaled(tiff16(np.ascontiguousarray(turned), orientation=orientation)).content)
        assert np.array_equal(answer, read_png16(upscaled(png16(ramp(3))).content)), orientation


@pytest.mark.parametrize("kind", ["jpeg", "webp", "avif"])
def test_a_format_of_eight_bits_gets_them_rounded_and_says_so(upscaled, kind):
    response = upscaled(png16(ramp(3)), format=kind, quality=100)
    assert response.headers["impasto-depth"] == "8"
    answer = np.asarray(Image.open(io.BytesIO(response.content)).convert("RGB"))
    assert np.abs(answer - bicubic(ramp(3), 2) / 257).mean() < 1.5


def test_a_style_answers_in_eight_bits_and_says_so(stylised):
    eight = np.rint(ramp(3) / 257).astype(np.uint8)  # cut instead, half of them would be a level lower
    for data in (png16(ramp(3)), tiff16(ramp(3))):
        response = stylised(data)
        assert response.headers["impasto-depth"] == "8"
        assert np.array_equal(decoded(response.content), decoded(stylised(encoded(eight)).content))
    assert "impasto-depth" not in stylised(encoded(eight)).headers


def test_an_avif_of_more_bits_says_that_they_were_cut(upscaled):
    # Pillow writes eight bits only: the flag in the codec's configuration is what tells
    data = bytearray(encoded(np.full((16, 16, 3), 99, np.uint8), "avif"))
    assert "impasto-depth" not in upscaled(bytes(data), format="png").headers
    at = data.index(b"av1C") + 6
    assert avif.bits(bytes(data)) == 8
    data[at] |= 0x40
    assert avif.bits(bytes(data)) == 10
    data[at] |= 0x20
    assert avif.bits(bytes(data)) == 12


def test_a_grey_picture_in_linear_light_keeps_its_profile_in_sixteen_bits(upscaled):
    linear = grey_profile(1.0)
    kept = upscaled(tiff16(ramp(1), icc=linear))
    assert Image.open(io.BytesIO(kept.content)).info["icc_profile"] == linear
    assert np.array_equal(read_png16(kept.content), read_png16(upscaled(png16(ramp(1))).content))
    converted = read_png16(upscaled(tiff16(ramp(1), icc=linear), profile="srgb").content)
    assert converted.shape == (80, 120, 1)
    light = bicubic(ramp(1), 2) / 65_535
    assert np.abs(converted - 65_535 * (1.055 * light ** (1 / 2.4) - 0.055)).max() < 80  # a third of a level


@pytest.mark.parametrize("mode", ["I", "F"])
def test_samples_of_unknown_range_are_refused(plain, mode):
    buffer = io.BytesIO()
    Image.new(mode, (8, 8)).save(buffer, "TIFF")
    problem = refused(plain.post("/upscale?factor=2", content=buffer.getvalue()), 415, "unsupported_image")
    assert "32 bits" in problem["detail"]


def test_damage_is_found_here_too(plain):
    for data in (png16(ramp(3)), tiff16(ramp(3))):
        refused(plain.post("/upscale?factor=2", content=data[: len(data) // 2]), 422, "broken_image")
