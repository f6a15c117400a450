"""Files that are cut or damaged are refused; files that lack only what nobody needs are accepted."""

import io
import struct

import numpy as np
import pytest
import tifffile

from tests.conftest import decoded, encoded, picture
from tests.service.http.test_bad_input import refused

SAME_SIZE = "/upscale?factor=1"


def tiff(pixels, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, metadata=None, **options)
    return buffer.getvalue()


def noise(dtype, side=128, channels=3):
    full = np.iinfo(dtype).max
    shape = (side, side) if channels == 1 else (side, side, channels)
    return np.random.default_rng(0).integers(full // 4, full, shape).astype(dtype)


LAYOUTS = {"tiles": {"tile": (64, 64)}, "strips": {"rowsperstrip": 32}}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_tiff_that_is_cut_or_damaged_is_refused(plain, dtype, channels, compression, layout):
    photometric = "rgb" if channels == 3 else "minisblack"
    data = tiff(noise(dtype, channels=channels), compression=compression, photometric=photometric, **LAYOUTS[layout])
    page = tifffile.TiffFile(io.BytesIO(data)).pages[0]
    last_start, last_size = page.dataoffsets[-1], page.databytecounts[-1]
    assert plain.post(SAME_SIZE, content=data).status_code == 200
    cut = data[: last_start + last_size - 10] if last_start + last_size == len(data) else data[: len(data) * 6 // 10]
    assert "truncated" in refused(plain.post(SAME_SIZE, content=cut), 422, "broken_image")["detail"]
    if compression:
        for at in (last_start + last_size // 2, last_start + last_size - 3):  # the data, and the checksum behind it
            damaged = data[:at] + bytes(byte ^ 0x55 for byte in data[at : at + 3]) + data[at + 3 :]
            refused(plain.post(SAME_SIZE, content=damaged), 422, "broken_image")


KINDS = {
    "floating-point": [(dtype, channels) for dtype in ("float16", "float32", "float64") for channels in (1, 3)],
    "signed": [(dtype, channels) for dtype in ("int8", "int16", "int32") for channels in (1, 3)],
    "32 bits": [("uint32", 1), ("uint32", 3)],
    "64 bits": [("uint64", 1)],
}


@pytest.mark.parametrize("word", KINDS)
def test_a_tiff_whose_samples_are_not_read_is_named(plain, word):
    for dtype, channels in KINDS[word]:
        photometric = "rgb" if channels == 3 else "minisblack"
        shape = (16, 16, 3) if channels == 3 else (16, 16)
        data = tiff(np.ones(shape, dtype), photometric=photometric)
        assert word in refused(plain.post(SAME_SIZE, content=data), 415, "unsupported_image")["detail"]


@pytest.mark.parametrize(("number", "name"), [(34887, "LERC"), (34712, "JPEG 2000"), (34661, "JBIG"), (4711, "4711")])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_tiff_whose_compression_is_not_read_is_named(plain, dtype, number, name):
    data = bytearray(tiff(noise(dtype, 16), photometric="rgb"))
    tag = data.index(struct.pack("<HHI", 259, 3, 1))
    data[tag + 8 : tag + 10] = struct.pack("<H", number)
    assert name in refused(plain.post(SAME_SIZE, content=bytes(data)), 415, "unsupported_image")["detail"]


@pytest.mark.parametrize("tag", [256, 259, 277, 278])
def test_a_tag_of_eight_bytes_in_a_classic_tiff_is_damage(plain, tag):
    data = bytearray(tiff(noise("uint8", 16), photometric="rgb"))
    at = next(at for at in range(8, len(data) - 4) if struct.unpack_from("<H", data, at)[0] == tag
              and struct.unpack_from("<HI", data, at + 2) in {(3, 1), (4, 1)})  # fmt: skip
    data[at + 2 : at + 4] = struct.pack("<H", 16)
    response = plain.post(SAME_SIZE, content=bytes(data))
    assert response.status_code in {200, 413, 415, 422}, response.text


def test_a_whole_tiff_that_no_decoder_knows_is_described(plain):
    data = tiff(noise("uint16", 16, 2), photometric="minisblack", extrasamples=["unassalpha"], planarconfig="contig")
    detail = refused(plain.post(SAME_SIZE, content=data), 415, "unsupported_image")["detail"]
    assert "2 samples of 16/16 bits" in detail


JPEGS = {
    "baseline": {},
    "progressive": {"progressive": True},
    "without restarts": {"subsampling": 0},
    "with restarts": {"restart_marker_rows": 1},
}


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_without_its_end_is_whole_while_all_its_pixels_are_there(plain, kind, channels):
    whole = {1: picture()[..., 0], 3: picture(), 4: np.dstack([picture(), picture()[..., 0]])}[channels]
    data = encoded(whole, "jpeg", **JPEGS[kind]) if channels != 4 else _cmyk(whole, **JPEGS[kind])
    expected = decoded(plain.post(f"{SAME_SIZE}&format=png", content=data).content)
    for ending in (b"", b"\xff", b"\0\0", bytes(1000), b"\xff\xd9" + b"\xff\xda\0\0" * 200):
        response = plain.post(f"{SAME_SIZE}&format=png", content=data[:-2] + ending)
        assert response.status_code == 200, response.text
        assert np.array_equal(decoded(response.content), expected)
    for missing in (3, 5, 20, len(data) // 2):
        answer = refused(plain.post(SAME_SIZE, content=data[:-missing]), 422, "broken_image")
        assert "truncated" in answer["detail"].lower()


def _cmyk(pixels, **options):
    from PIL import Image  # noqa: PLC0415

    buffer = io.BytesIO()
    Image.fromarray(pixels, "CMYK").save(buffer, "JPEG", **options)
    return buffer.getvalue()


def test_a_progressive_jpeg_that_lacks_whole_scans_is_truncated(plain):
    data = encoded(picture(), "jpeg", progressive=True)
    for end in (data.rindex(b"\xff\xda"), data.index(b"\xff\xda", data.index(b"\xff\xda") + 2)):
        answer = refused(plain.post(SAME_SIZE, content=data[:end]), 422, "broken_image")
        assert "scans are missing" in answer["detail"]


def test_a_jpeg_is_judged_by_its_segments_and_not_by_the_bytes_in_them(plain):
    """A motion photo's video, a depth map and a maker's data may contain what looks like scans."""
    data, rng = encoded(picture(), "jpeg"), np.random.default_rng(0)
    looks_like_scans = b"\xff\xda" * 40_000
    video = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + rng.bytes(2**20) + looks_like_scans
    segments = b"".join(b"\xff\xe9\xff\xff" + looks_like_scans[:65_533] for _ in range(4))
    expected = plain.post(f"{SAME_SIZE}&format=png", content=data).content
    for changed in (data + video, data[:2] + segments + data[2:], data[:20] + b"\0\0\0" + data[20:]):
        response = plain.post(f"{SAME_SIZE}&format=png", content=changed)
        assert response.status_code == 200, response.text
        assert response.content == expected


def test_damage_that_libjpeg_notices_is_refused(plain):
    """An end marker in the middle: Pillow and browsers show grey below it."""
    data = encoded(picture(200, 200), "jpeg", quality=95)
    at = len(data) * 2 // 3
    answer = refused(plain.post(SAME_SIZE, content=data[:at] + b"\xff\xd9" + data[at:]), 422, "broken_image")
    assert "premature end" in answer["detail"]
