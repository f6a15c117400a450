"""What goes in and comes out, and the table of docs/http.md, which is written from what is seen here."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
import pyvips
from PIL import Image

from service.errors import TooManyPixelsError
from service.images.encode import EncodeOptions, encode
from tests.conftest import decoded, encoded, picture
from tests.files import DISPLAY_P3, animation, frames_of, png16, rgb_profile, tiff16
from tests.service.http.test_bad_input import refused
from tests.service.images.test_metadata import photograph
from tests.service.images.test_transparency import disc

DOCUMENT = Path(__file__).parent.parent.parent.parent / "docs/http.md"
TAKEN = ["jpeg", "png", "webp", "avif", "gif", "tiff", "bmp"]
ANSWERED = ["jpeg", "png", "webp", "avif", "tiff"]


def answered_as(response):
    return response.headers["content-type"].removeprefix("image/")


def opened(response):
    image = Image.open(io.BytesIO(response.content))
    image.load()
    return image


def moving(kind):
    """Three pictures in one file, where the format can hold them."""
    frames = [picture(16, 16, seed=seed) for seed in range(3)]
    return None if kind in {"jpeg", "bmp"} else animation(kind, frames, 100)


def deep(kind):
    """More than eight bits a sample, where there are such files."""
    values = np.linspace(0, 65_535, 16 * 16 * 3).reshape(16, 16, 3).astype(np.uint16)
    if kind == "avif":
        image = pyvips.Image.new_from_array(values).copy(interpretation="rgb16")
        return image.heifsave_buffer(compression="av1", bitdepth=10)
    return {"png": png16, "tiff": tiff16}[kind](values) if kind in {"png", "tiff"} else None


def frames_kept(upscaled, kind):
    data = moving(kind)
    if data is None:
        return "no"
    response = upscaled(data)
    if "impasto-frames" in response.headers:
        assert response.headers["impasto-frames"] == "1/3"
        return "the first"
    assert len(frames_of(response.content)[0]) == 3
    return "all" if answered_as(response) == kind else f"all, as {answered_as(response).upper()}"


def transparency_kept(upscaled, kind):
    if kind in {"jpeg", "bmp"}:
        return "no"
    answer = opened(upscaled(encoded(disc(), kind)))
    assert answer.mode == "RGBA"
    assert answer.getpixel((0, 0))[3] == 0
    assert answer.getpixel((48, 48))[3] == 255
    read = np.asarray(Image.open(io.BytesIO(encoded(disc(), kind))).convert("RGBA"))[..., 3]
    return "kept" if len(np.unique(read)) > 2 else "on or off"


def grey_kept(upscaled, kind):
    answer = opened(upscaled(encoded(picture()[..., 0], kind)))
    if answer.mode == "L":
        return "one channel"
    pixels = np.asarray(answer.convert("RGB")).astype(int)
    assert np.ptp(pixels, axis=2).max() <= 3  # WebP has no other way
    return "three channels"


def depth_kept(upscaled, kind):
    data = deep(kind)
    if data is None:
        return "no"
    response = upscaled(data)
    if "impasto-depth" in response.headers:
        assert response.headers["impasto-depth"] == "8"
        return "8, declared"
    assert response.content[24] == 16
    return "kept"


def profile_kept(upscaled, kind):
    icc = rgb_profile(DISPLAY_P3)
    if "icc_profile" not in Image.open(io.BytesIO(encoded(picture(), kind, icc_profile=icc))).info:
        return "no"
    response = upscaled(encoded(picture(), kind, icc_profile=icc))
    assert opened(response).info["icc_profile"] == icc
    return "kept"


def metadata_kept(upscaled, kind):
    if kind == "bmp":
        return "no"
    data = encoded(picture(), kind, comment=b"said in passing") if kind == "gif" else photograph(kind)
    answer = upscaled(data, metadata="keep").content
    told = {"EXIF": b"A camera", "XMP": b'dc:creator="somebody"', "comment": b"said in passing"}
    return ", ".join(name for name, mark in told.items() if mark in answer) or "no"


def row(upscaled, kind):
    still = upscaled(encoded(picture(), kind))
    moves = moving(kind) if kind == "gif" else None
    answer = answered_as(still).upper()
    if moves:
        answer += f", {answered_as(upscaled(moves)).upper()} if animated"
    kept = (frames_kept, transparency_kept, grey_kept, depth_kept, profile_kept, metadata_kept)
    return [kind.upper(), answer, *(look(upscaled, kind) for look in kept)]


@pytest.mark.parametrize("kind", TAKEN)
def test_the_table_of_formats_is_true(upscaled, kind):
    lines = re.findall(rf"^\| {kind.upper()} \|.*\|$", DOCUMENT.read_text(), re.MULTILINE)
    assert lines == [f"| {' | '.join(row(upscaled, kind))} |"]


@pytest.mark.parametrize("kind", ANSWERED)
@pytest.mark.parametrize("source", TAKEN)
def test_every_format_becomes_every_other(upscaled, source, kind):
    response = upscaled(encoded(picture(), source), format=kind)
    assert answered_as(response) == kind
    assert opened(response).format == kind.upper()
    large = np.asarray(opened(response).convert("RGB"))[1::2, 1::2]
    assert np.abs(large.astype(int) - picture()).mean() < 8


@pytest.mark.parametrize("kind", ["jpeg", "webp", "avif"])
def test_quality_is_quality(upscaled, kind):
    sizes = [len(upscaled(encoded(picture(100, 100)), format=kind, quality=each).content) for each in (1, 50, 100)]
    assert sizes[0] < sizes[1] < sizes[2]
    usual = upscaled(encoded(picture(100, 100)), format=kind).content
    asked = upscaled(
        encoded(picture(100, 100)), format=kind, quality={"jpeg": 90, "webp": 85, "avif": 70}[kind]
    ).content
    assert usual == asked


def test_a_png_is_the_same_whatever_quality(upscaled):
    assert upscaled(encoded(picture()), quality=1).content == upscaled(encoded(picture())).content


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("quality=0", "quality"),
        ("quality=101", "quality"),
        ("quality=best", "quality"),
        ("profile=p3", "profile"),
        ("metadata=some", "metadata"),
    ],
)
def test_parameters_that_make_no_sense(plain, query, parameter):
    problem = refused(plain.post(f"/upscale?factor=2&{query}", content=encoded(picture())), 422, "invalid_parameter")
    assert problem["parameter"] == parameter


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_kind_of_png(upscaled, mode):
    image = Image.fromarray(picture(16, 18))
    image = Image.new("I;16", (18, 16), 30_000) if mode == "I;16" else image.convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    assert decoded(upscaled(buffer.getvalue()).content).shape[:2] == (32, 36)


@pytest.mark.parametrize(
    "compression", ["raw", "tiff_lzw", "tiff_deflate", "packbits", "jpeg", "tiff_adobe_deflate", "lzma", "zstd"]
)
def test_every_kind_of_tiff(upscaled, compression):
    buffer = io.BytesIO()
    Image.fromarray(picture()).save(buffer, "TIFF", compression=compression)
    assert decoded(upscaled(buffer.getvalue()).content).shape == (80, 120, 3)


def test_a_progressive_jpeg_is_as_good_as_another(upscaled):
    answers = [upscaled(encoded(picture(), "jpeg", progressive=each), format="png").content for each in (True, False)]
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    ("data", "looks_like"),
    [
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "a video, or a HEIF without HEVC"),
        (b"\xff\x0a\0\0", "JPEG XL"),
        (b"8BPS\0\1", "PSD"),
        (b"\0\0\1\0\1\0", "ICO"),
        (b"<svg xmlns=", "SVG"),
        (b"%PDF-1.7", "PDF"),
        (b"\x93NUMPY", "unknown data"),
    ],
)
def test_what_is_not_taken_is_named(plain, data, looks_like):
    problem = refused(plain.post("/upscale?factor=2", content=data), 415, "unsupported_image")
    assert problem["value"] == looks_like
    assert "image/tiff" in problem["expected"]


@pytest.mark.soak
def test_a_webp_that_is_too_rich_for_its_size_is_refused():
    noise = np.random.default_rng(0).integers(0, 256, (880, 880, 3), dtype=np.uint8)
    with pytest.raises(TooManyPixelsError, match="too rich in detail, for a WebP of quality 100"):
        encode([np.tile(noise, (8, 8, 1))], "webp", EncodeOptions(100))
