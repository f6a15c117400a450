"""Files that are made, or were found, to break decoders: each is answered or refused, and none is an error of ours."""

import functools
import io
import os
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import encoded, picture
from tests.corpus import corpus
from tests.files import ADOBE_RGB, animation, chunk, png16, rgb_profile, tiff16
from tests.hostile import bombs, white_png
from tests.service.http.test_bad_input import refused
from tests.service.images.test_metadata import photograph

CORPUS = os.environ.get("IMPASTO_CORPUS")
PNG_SUITE = sorted((Path(__file__).parent.parent.parent / "pngsuite").glob("*.png"))
QUERIES = ("/upscale?factor=2", "/stylize?style=mosaic", "/upscale?factor=2&format=webp&metadata=keep&profile=srgb")


def answered_or_refused(response):
    assert response.status_code in {200, 413, 415, 422}, response.text
    if response.status_code == 200:
        Image.open(io.BytesIO(response.content)).load()
    else:
        refused(response, response.status_code, response.json()["code"])
    return response.status_code


@pytest.mark.parametrize("path", PNG_SUITE, ids=lambda path: path.stem)
def test_png_suite(plain, path):
    """Willem van Schaik's test pictures, those that pypng carries: every depth, palette, interlacing, transparency."""
    for query in QUERIES:
        assert answered_or_refused(plain.post(query, content=path.read_bytes())) == 200
    answer = np.asarray(Image.open(io.BytesIO(plain.post(QUERIES[0], content=path.read_bytes()).content)))
    assert answer.shape[:2] == tuple(2 * side for side in Image.open(io.BytesIO(path.read_bytes())).size[::-1])


BOMBS = bombs()


@pytest.mark.parametrize("name", BOMBS)
def test_bombs(plain, name):
    data, expected = BOMBS[name]
    for query in QUERIES:
        assert answered_or_refused(plain.post(query, content=data)) in expected
    assert plain.post(QUERIES[0], content=encoded(picture())).status_code == 200


def test_a_progressive_jpeg_of_a_few_scans_is_accepted(plain):
    assert plain.post(QUERIES[0], content=encoded(picture(64, 64), "jpeg", progressive=True)).status_code == 200


def test_a_large_image_within_the_limit_is_accepted(plain):
    assert plain.post("/stylize?style=mosaic&format=jpeg", content=white_png(900)).status_code == 200


def sources():
    """One file for every way through the decoders."""
    icc, deep = rgb_profile(ADOBE_RGB, 2.2), np.full((12, 12, 4), 40_000, np.uint16)
    deep[:6, :, 3] = 0
    moving = [picture(16, 16, seed=each) for each in range(3)]
    clear = np.dstack([picture(16, 16), np.tile(np.arange(0, 256, 16, dtype=np.uint8), (16, 1))])
    files = [photograph(kind, icc_profile=icc) for kind in ("jpeg", "png", "webp", "avif", "tiff")]
    files += [animation(kind, moving, [40, 50, 60], loop=2) for kind in ("gif", "webp", "png")]
    files += [encoded(clear, kind) for kind in ("png", "webp", "tiff", "avif")]
    files += [
        png16(deep, chunk(b"tEXt", b"a\0b")),
        tiff16(deep[..., :3], icc=icc),
        tiff16(deep, extra=2, orientation=6),
    ]
    files += [encoded(picture(16, 16), "tiff", compression=each) for each in ("tiff_lzw", "tiff_deflate", "packbits")]
    files += [encoded(picture(16, 16), "jpeg", progressive=True), encoded(picture(16, 16), "bmp")]
    for mode, kind in (("CMYK", "jpeg"), ("CMYK", "tiff"), ("P", "png"), ("P", "gif"), ("1", "tiff"), ("1", "bmp")):
        buffer = io.BytesIO()
        Image.fromarray(picture(16, 16)).convert(mode).save(buffer, kind.upper())
        files.append(buffer.getvalue())
    return files


@functools.cache
def to_mutate():
    """Files whose mutations are sent: those above, and the corpus."""
    return [*sources(), *(file.data for file in corpus().values() if len(file.data) < 50_000)]


def mutated(data, dice):
    """Some bytes set, a stretch dropped, doubled or zeroed, numbers made large, or the end cut off."""
    data = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 4, 16))):
        if len(data) < 32:
            break
        at, length = dice.randrange(len(data)), dice.randint(1, 24)
        match dice.randrange(7):
            case 0 | 1:
                data[at] = dice.randrange(256)
            case 2:
                data[at] ^= 1 << dice.randrange(8)
            case 3:
                del data[at : at + length]
            case 4:
                data[at:at] = data[at : at + length]
            case 5:
                data[at : at + 4] = dice.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\0\1\0\0"))
            case 6:
                data = data[: max(16, at)] if dice.random() < 0.3 else data
    return bytes(data)


def send_mutations(plain, count):
    """The seed of each is in the message of a failure."""
    originals, counts = to_mutate(), {}
    for seed in range(count):
        dice = random.Random(seed)
        data = mutated(originals[seed % len(originals)], dice)
        response = plain.post(dice.choice(QUERIES), content=data)
        assert response.status_code in {200, 413, 415, 422}, (seed, response.text)
        counts[response.status_code] = counts.get(response.status_code, 0) + 1
    assert min(counts[200], counts[422]) > count // 10, counts  # some of both, or nothing was tested
    assert plain.post(QUERIES[0], content=encoded(picture())).status_code == 200


def test_half_a_file_is_broken_whatever_it_is(plain):
    for data in sources():
        refused(plain.post(QUERIES[0], content=data[: len(data) * 6 // 10]), 422, "broken_image")


def test_mutations(plain):
    send_mutations(plain, 200)


@pytest.mark.soak
def test_many_mutations(plain):
    send_mutations(plain, int(os.environ.get("IMPASTO_MUTATIONS", "5000")))


@pytest.mark.soak
@pytest.mark.skipif(CORPUS is None, reason="IMPASTO_CORPUS names no folder of files to try (see CONTRIBUTING.md)")
def test_a_corpus(plain):
    counts = {}
    for path in sorted(Path(CORPUS).rglob("*")):
        if path.is_file() and path.stat().st_size < 32 * 2**20:
            response = plain.post(QUERIES[len(counts) % 3], content=path.read_bytes())
            assert response.status_code in {200, 413, 415, 422}, (path, response.text)
            counts[response.status_code] = counts.get(response.status_code, 0) + 1
    assert counts.get(200), counts
    assert plain.post(QUERIES[0], content=encoded(picture())).status_code == 200
