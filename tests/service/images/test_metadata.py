"""What a file says besides its pixels: dropped, or kept and still true."""

import io

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from service.images.encode import EncodeOptions, encode
from service.images.metadata import Metadata
from service.images.untrusted import tiff
from tests.conftest import decoded, encoded, picture
from tests.files import DISPLAY_P3, chunk, png16, rgb_profile

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6" dc:creator="somebody"/></x:xmpmeta>'
CREATOR = b'dc:creator="somebody"'
CAMERA, DESCRIPTION, ORIENTATION, EXIF_IFD, GPS_IFD = 0x010F, 0x010E, 0x0112, 0x8769, 0x8825
WIDTH, ISO, LATITUDE = 0xA002, 0x8827, 2


def exif(orientation=6):
    """As a telephone writes it, with a thumbnail."""
    made = Image.Exif()
    made[CAMERA], made[DESCRIPTION], made[ORIENTATION] = "A camera", "a photograph", orientation
    made.get_ifd(EXIF_IFD).update({ISO: 400, WIDTH: 60})
    made.get_ifd(GPS_IFD).update({1: "N", LATITUDE: (52.0, 30.0, 0.0)})
    thumbnail = encoded(picture(8, 8), "jpeg")
    made.get_ifd(1).update({0x0103: 6, 0x0201: 0, 0x0202: len(thumbnail)})
    return made.tobytes()


def photograph(kind, **more):
    texts = PngImagePlugin.PngInfo()
    if kind == "png":
        texts.add_itxt("XML:com.adobe.xmp", XMP.decode())
        texts.add_text("Comment", "said in passing")
        more |= {"pnginfo": texts}
    elif kind == "jpeg":
        more |= {"xmp": XMP, "comment": b"said in passing"}
    elif kind != "tiff":
        more |= {"xmp": XMP}
    return encoded(picture(), kind, exif=exif(), **more)


def told(data):
    """Everything that the file says besides pixels and their layout."""
    image = Image.open(io.BytesIO(data))
    image.load()
    layout = {"jfif", "jfif_version", "jfif_unit", "jfif_density", "loop", "background", "timestamp", "duration", "dpi"}
    return {key: value for key, value in image.info.items() if key not in layout}


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "avif", "tiff"])
def test_nothing_is_told_by_default(upscaled, kind):
    data = photograph(kind)
    response = upscaled(data)
    assert told(response.content) == {}
    assert b"camera" not in response.content
    assert decoded(response.content).shape[:2] == (120, 80)  # upright


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "avif", "tiff"])
@pytest.mark.parametrize("answer", ["jpeg", "png", "webp", "avif"])
def test_exif_is_kept_when_asked_for_and_is_true_of_the_answer(upscaled, kind, answer):
    response = upscaled(photograph(kind), metadata="keep", format=answer)
    image = Image.open(io.BytesIO(response.content))
    kept = image.getexif()
    assert image.size == (80, 120)
    assert kept[CAMERA] == "A camera"
    assert kept.get(ORIENTATION, 1) == 1
    assert kept.get_ifd(EXIF_IFD)[ISO] == 400
    assert WIDTH not in kept.get_ifd(EXIF_IFD)
    assert kept.get_ifd(GPS_IFD)[LATITUDE] == (52.0, 30.0, 0.0)
    assert not kept.get_ifd(1)  # the thumbnail shows another picture


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "avif"])
@pytest.mark.parametrize("answer", ["jpeg", "png", "webp", "avif"])
def test_xmp_is_kept_upright(upscaled, kind, answer):
    response = upscaled(photograph(kind), metadata="keep", format=answer)
    assert CREATOR in response.content
    assert b'tiff:Orientation="1"' in response.content


def test_comments_are_kept_where_there_is_a_place_for_them(upscaled):
    for kind in ("jpeg", "png"):
        for answer in ("jpeg", "png"):
            response = upscaled(photograph(kind), metadata="keep", format=answer)
            assert b"said in passing" in response.content, (kind, answer)


def test_sixteen_bits_keep_theirs(upscaled):
    deep = png16(np.full((8, 8, 3), 30_000, np.uint16), *_chunks())
    image = Image.open(io.BytesIO(upscaled(deep, metadata="keep").content))
    assert image.getexif()[CAMERA] == "A camera"
    assert 'dc:creator="somebody"' in image.info["XML:com.adobe.xmp"]
    assert told(upscaled(deep).content) == {}


def _chunks():
    return (
        chunk(b"eXIf", exif().removeprefix(b"Exif\0\0")),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP),
    )


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["png", "tiff", "webp"])
def test_every_orientation(upscaled, orientation, kind):
    upright = picture(20, 32)
    inverse = {1: 0, 2: 0, 3: 2, 4: 2, 5: 1, 6: 1, 7: 3, 8: 3}[orientation]  # quarter turns that lay it down
    lying = np.rot90(upright[:, ::-1] if orientation in {2, 4, 5, 7} else upright, inverse)
    made = Image.Exif()
    made[ORIENTATION] = orientation
    options = {"lossless": True} if kind == "webp" else {}
    data = encoded(np.ascontiguousarray(lying), kind, exif=made.tobytes(), **options)
    answer = decoded(upscaled(data, format="png").content)
    assert np.array_equal(answer, decoded(upscaled(encoded(upright)).content))


@pytest.mark.parametrize(
    "lie",
    [
        b"Exif\0\0",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff",
        b"Exif\0\0II*\0\x08\0\0\0\x02\0\x12\x01\x03\0\x01\0\0\0\x63\0\0\0\x0f\x01\x02\0\xff\xff\xff\x7f\x08\0\0\0",
        b"Exif\0\0II*\0\x08\0\0\0\x01\0\x69\x87\x04\0\x01\0\0\0\x08\0\0\0\0\0\0\0",  # EXIF within itself
    ],
)
def test_exif_that_lies_is_left_behind(upscaled, lie):
    for kind in ("jpeg", "png", "webp"):
        response = upscaled(encoded(picture(), kind, exif=lie), metadata="keep")
        assert decoded(response.content).shape[:2] == (80, 120)


def test_entries_that_overlap_are_seen_before_they_are_read():
    entries = b"".join(bytes([index % 256, index // 256, 7, 0]) + b"\0\x10\0\0\x08\0\0\0" for index in range(200))
    overlapping = b"II*\0\x08\0\0\0" + (200).to_bytes(2, "little") + entries + bytes(4096)
    assert not tiff.is_modest(overlapping)
    assert tiff.is_modest(exif())
    assert tiff.orientation(exif(8)) == 8
    assert tiff.orientation(b"") == 1


@pytest.mark.parametrize("quality", [85, 90])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_jpeg_has_the_bits_of_pillows_encoder(quality, channels):
    pixels = picture(33, 50)[..., :channels]
    kept = Metadata(exif=exif(), xmp=XMP, comment=b"said", iptc=b"\x1c\x02\x05\x00\x01t", resolution=(300.0, 300.0))
    icc = rgb_profile(DISPLAY_P3)
    made = encode([pixels], "jpeg", EncodeOptions(quality, icc, kept))
    buffer = io.BytesIO()
    options = kept.options("jpeg") | {"icc_profile": icc, "quality": quality}
    subsampling = "4:4:4" if quality >= 90 or channels == 1 else "4:2:0"
    Image.fromarray(pixels if channels == 3 else pixels[..., 0]).save(
        buffer, "JPEG", subsampling=subsampling, **options
    )
    assert made == buffer.getvalue()
