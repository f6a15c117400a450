"""What `metadata=keep` keeps, whatever its encoding, and what it corrects or leaves out because it no longer holds."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, IptcImagePlugin

from service.images.untrusted import png
from tests.conftest import decoded, encoded, picture
from tests.files import chunk

KEEP = "/upscale?factor=2&metadata=keep"
OUTPUTS = ["jpeg", "png", "webp", "avif", "tiff"]
COPYRIGHT, MAKER_NOTE, EXIF_IFD = 0x8298, 0x927C, 0x8769


def exif(order, tags, inner=()):
    """EXIF by hand. tags, inner: (tag, type, content), of the first directory and of EXIF's own."""

    def directory(entries, start):
        packed, outside = struct.pack(order + "H", len(entries)), b""
        after = start + 2 + 12 * len(entries) + 4
        for tag, kind, content in sorted(entries):
            count = len(content) // {2: 1, 7: 1, 4: 4}[kind]
            packed += struct.pack(order + "HHI", tag, kind, count)
            if len(content) > 4:
                packed += struct.pack(order + "I", after + len(outside))
                outside += content + bytes(len(content) % 2)
            else:
                packed += content.ljust(4, b"\0")
        return packed + bytes(4) + outside

    entries = list(tags)
    pointer = (EXIF_IFD, 4, bytes(4))
    if inner:
        start = 8 + len(directory([*entries, pointer], 8))
        entries.append((EXIF_IFD, 4, struct.pack(order + "I", start)))
    first = directory(entries, 8)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    return b"Exif\0\0" + head + first + (directory(list(inner), 8 + len(first)) if inner else b"")


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("source", ["jpeg", "png", "webp"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_texts_of_exif_keep_their_bytes(plain, source, output, order):
    texts = ["© Jane Doe".encode(), "© Jörg Müller".encode(), "東京タワー".encode(), "Jörg".encode("latin-1")]
    maker = bytes(range(256))
    for text in texts:
        made = exif(order, [(COPYRIGHT, 2, text + b"\0")], [(MAKER_NOTE, 7, maker)])
        content = plain.post(f"{KEEP}&format={output}", content=encoded(picture(), source, exif=made)).content
        assert text in content
        assert maker in content


XMP = """<?xpacket begin='' id='W5M0MpCehiHzreSzNTczkc9d'?><x:xmpmeta xmlns:x='adobe:ns:meta/'>
<rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'><rdf:Description rdf:about=''
 xmlns:t='http://ns.adobe.com/tiff/1.0/' xmlns:exif='http://ns.adobe.com/exif/1.0/'
 xmlns:gm='http://ns.adobe.com/hdr-gain-map/1.0/' xmlns:cam='http://ns.google.com/photos/1.0/camera/'
 xmlns:dc='http://purl.org/dc/elements/1.1/' t:Orientation='6' exif:PixelXDimension='64' gm:Version='1.0'
 cam:MotionPhoto='1' dc:source='kept'>
<dc:creator><rdf:Seq><rdf:li>Jörg &amp; Müller</rdf:li></rdf:Seq></dc:creator><t:ImageWidth>64</t:ImageWidth>
<gm:GainMapMax><rdf:Seq><rdf:li>1.5</rdf:li></rdf:Seq></gm:GainMapMax>
<t:Artist>somebody</t:Artist></rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end='w'?>"""


def with_xmp(packet):
    data = encoded(picture(), "jpeg")
    content = b"http://ns.adobe.com/xap/1.0/\0" + packet
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content + data[2:]


@pytest.mark.parametrize("output", OUTPUTS)
def test_xmp_says_only_what_still_holds(plain, output):
    """By namespace: the prefixes are the file's own."""
    content = plain.post(f"{KEEP}&format={output}", content=with_xmp(XMP.encode())).content
    for kept in ("kept", "Jörg &amp; Müller", "somebody", 't:Orientation="1"'):
        assert kept.encode() in content, kept
    for stale in ("PixelXDimension", "ImageWidth", "Version=", "GainMapMax", "MotionPhoto"):
        assert stale.encode() not in content, stale


@pytest.mark.parametrize(
    "packet",
    [
        b"no XML",
        b"<x:xmpmeta",
        b"<!DOCTYPE a [<!ENTITY b 'bbbb'><!ENTITY c '&b;&b;'>]><a secret='1'>&c;</a>",
        b"<a secret='1'>" + b"<b>" * 3000,
        b"\xff\xfe<\0a\0/\0>\0",
    ],
)
def test_xmp_that_cannot_be_corrected_is_left_out(plain, packet):
    response = plain.post(KEEP, content=with_xmp(packet))
    assert response.status_code == 200
    assert b"secret" not in response.content


IPTC = b"\x1c\x02\x78\x00\x09a caption\x1c\x02\x50\x00\x06J\xc3\xb6rg!"


def with_iptc(kind):
    if kind == "jpeg":
        data = encoded(picture(), "jpeg")
        block = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(IPTC)) + IPTC + bytes(len(IPTC) % 2)
        content = b"Photoshop 3.0\0" + b"8BIM\x04\x0c\0\0" + struct.pack(">I", 4) + b"JPG " + block
        return data[:2] + b"\xff\xed" + struct.pack(">H", len(content) + 2) + content + data[2:]
    if kind == "png":
        text = b"\niptc\n%8d\n" % len(IPTC) + IPTC.hex().encode() + b"\n"
        data = encoded(picture())
        return data[:33] + chunk(b"zTXt", b"Raw profile type iptc\0\0" + zlib.compress(text)) + data[33:]
    return encoded(picture(), "tiff", tiffinfo={33723: IPTC})


@pytest.mark.parametrize("source", ["jpeg", "png", "tiff"])
@pytest.mark.parametrize("output", ["jpeg", "png", "tiff"])
def test_iptc_is_kept(plain, source, output):
    content = plain.post(f"{KEEP}&format={output}", content=with_iptc(source)).content
    if output == "png":
        text = dict(png.texts(content))["Raw profile type iptc"]
        assert bytes.fromhex("".join(text.split("\n")[3:])) == IPTC
    else:
        found = IptcImagePlugin.getiptcinfo(Image.open(io.BytesIO(content)))
        assert (found[(2, 120)], found[(2, 80)]) == (b"a caption", "Jörg!".encode())
    stripped = plain.post(f"/upscale?factor=2&format={output}", content=with_iptc(source)).content
    assert b"caption" not in stripped


TEXTS = {"parameters": "a prompt, steps: 20", "Title": "Tour de Tokyo", "workflow": "東京"}


def test_the_texts_of_a_png_are_kept_and_no_previews(plain):
    data = encoded(picture())
    texts = chunk(b"tEXt", b"parameters\0a prompt, steps: 20") + chunk(
        b"zTXt", b"Title\0\0" + zlib.compress(b"Tour de Tokyo")
    )
    texts += chunk(b"iTXt", b"workflow\0\1\0\0\0" + zlib.compress("東京".encode()))
    texts += chunk(b"tEXt", b"Thumb::Image::Width\x0060")
    for source in (data[:33] + texts + data[33:], data[:-12] + texts + data[-12:]):  # before the pixels, and after
        assert dict(png.texts(plain.post(KEEP, content=source).content)) == TEXTS
        assert dict(png.texts(plain.post("/upscale?factor=2", content=source).content)) == {}


def test_many_long_texts_are_no_bomb(plain):
    data = encoded(picture())
    bomb = b"".join(chunk(b"zTXt", b"%d\0\0" % number + zlib.compress(b"x" * 2**20, 9)) for number in range(200))
    response = plain.post(KEEP, content=data[:33] + bomb + data[33:])
    assert response.status_code == 200
    assert len(response.content) < 6 * 2**20


@pytest.mark.parametrize("source", ["jpeg", "png", "tiff", "bmp"])
@pytest.mark.parametrize("output", ["jpeg", "png", "tiff"])
@pytest.mark.parametrize("metadata", ["keep", "strip"])
def test_the_resolution_is_kept_always(plain, source, output, metadata):
    data = encoded(picture(), source, dpi=(300, 300))
    response = plain.post(f"/upscale?factor=2&metadata={metadata}&format={output}", content=data)
    assert Image.open(io.BytesIO(response.content)).info["dpi"] == pytest.approx((300, 300), abs=0.1)


def test_where_no_resolution_is_said_none_is_made_up(plain):
    for source in ("jpeg", "png", "webp"):
        content = plain.post("/upscale?factor=2&format=png", content=encoded(picture(), source)).content
        assert "dpi" not in Image.open(io.BytesIO(content)).info


def test_everything_at_once_changes_no_pixel(plain):
    bare = decoded(plain.post("/upscale?factor=2&format=png", content=with_xmp(XMP.encode())).content)
    kept = decoded(plain.post(f"{KEEP}&format=png", content=with_xmp(XMP.encode())).content)
    assert np.array_equal(bare, kept)
