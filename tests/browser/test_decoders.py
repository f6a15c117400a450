"""Decoded pixels of valid files: the service beside Pillow, libvips and Chromium. `make soak`."""

import base64
import io
import warnings

import numpy as np
import pytest
import pyvips
from PIL import Image

from service.images.decode import decode, measure
from service.images.formats import sniff
from service.images.types import DecodeOptions
from tests.browser.test_animations import visible
from tests.corpus import corpus, rgba

pytestmark = pytest.mark.soak

SEEDS = 6
FILES = {seed: corpus(seed) for seed in range(SEEDS)}

SHOW = """
const [data, type, done] = arguments;
(async () => {
  const bytes = Uint8Array.from(atob(data), c => c.charCodeAt(0)), image = new Image();
  image.src = URL.createObjectURL(new Blob([bytes], {type}));
  await image.decode();
  const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
  const context = canvas.getContext("2d", {willReadFrequently: true});
  context.drawImage(image, 0, 0);
  const {width, height} = canvas, pixels = context.getImageData(0, 0, width, height).data;
  done({width, height, pixels: btoa(pixels.reduce((text, byte) => text + String.fromCharCode(byte), ""))});
})().catch(error => done({error: String(error)}));
"""

NOT_READ = {
    "Pillow": {"jpeg without its end", "png damaged text", "png long text", "heic"},
    "libvips": {"jpeg without its end", "bmp", "heic"},
    "Chromium": {"jpeg without its end", "tiff", "heic"},
}
"""Beginnings of names of files that a decoder does not read. Chromium omits the last rows of a JPEG without its end."""

LEVELS = {
    ("Pillow", "png grey 2 tRNS"): 255,  # it does not scale the transparent level
    ("Pillow", "png grey 4 tRNS"): 255,
}
CHROMA_LEVELS = {"jpeg": 4, "webp": 4, "avif": 40}
"""Differences in formats with loss: rounding of colour conversions and the interpolation of subsampled chroma."""


def shown_by_service(data: bytes) -> np.ndarray:
    header = measure(data, 10**6, 100)
    frame = decode(data, header, DecodeOptions("webp", enlarging=True)).frames[0]
    alpha = np.full(frame.pixels.shape[:2], 255, np.uint8) if frame.alpha is None else frame.alpha
    return np.dstack([frame.pixels, alpha])


def shown_by_pillow(data: bytes) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = Image.open(io.BytesIO(data))
        if image.mode.startswith("I"):  # 16 bits of grey
            return rgba((np.asarray(image) // 257).astype(np.uint8))
        return np.asarray(image.convert("RGBA"))


def shown_by_libvips(data: bytes) -> np.ndarray:
    image = pyvips.Image.new_from_buffer(data, "", fail_on="warning")
    samples = image.numpy()
    return rgba((samples // 257).astype(np.uint8) if image.format == "ushort" else samples)


def shown_by_chromium(driver: object, data: bytes) -> np.ndarray:
    shown = driver.execute_async_script(SHOW, base64.b64encode(data).decode(), f"image/{sniff(data)}")
    assert "error" not in shown, shown
    pixels = np.frombuffer(base64.b64decode(shown["pixels"]), np.uint8)
    return pixels.reshape(shown["height"], shown["width"], 4)


def multiplied(pixels: np.ndarray) -> np.ndarray:
    """Colours times alpha: a canvas stores these, so that colours of low alpha are rounded."""
    return np.dstack([np.rint(pixels[..., :3] * (pixels[..., 3:] / 255)), pixels[..., 3]]).astype(np.uint8)


def assert_same(ours: np.ndarray, theirs: np.ndarray, levels: int, where: object) -> None:
    assert ours.shape == theirs.shape, where
    difference = np.abs(visible(ours).astype(int) - visible(theirs)).max()
    assert difference <= levels, (where, difference)


def is_read(decoder: str, name: str) -> bool:
    return not any(name.startswith(refused) for refused in NOT_READ[decoder])


def levels(decoder: str, name: str, lossless: bool) -> int:
    return LEVELS.get((decoder, name), 0 if lossless else CHROMA_LEVELS[name.split(maxsplit=1)[0]])


@pytest.mark.parametrize("name", FILES[0])
def test_pixels_are_those_of_the_file_and_of_other_decoders(name):
    for seed, files in FILES.items():
        data, pixels = files[name]
        ours = shown_by_service(data)
        if pixels is not None:
            assert_same(ours, pixels, 0, ("as written", seed))
        for decoder, show in (("Pillow", shown_by_pillow), ("libvips", shown_by_libvips)):
            if is_read(decoder, name):
                assert_same(ours, show(data), levels(decoder, name, pixels is not None), (decoder, seed))


@pytest.mark.parametrize("name", [name for name in FILES[0] if is_read("Chromium", name)])
def test_pixels_are_those_that_chromium_shows(driver, served, name):
    if not driver.current_url.startswith(served[0]):
        driver.get(served[0])  # decoders need a secure origin: loopback is one
    for seed, files in FILES.items():
        data, pixels = files[name]
        ours, theirs = shown_by_service(data), shown_by_chromium(driver, data)
        rounding = int((ours[..., 3] < 255).any())
        most = levels("Chromium", name, pixels is not None) + rounding
        assert_same(multiplied(ours), multiplied(theirs), most, seed)


@pytest.mark.parametrize("decoder", NOT_READ)
def test_what_is_listed_as_not_read_is_in_the_corpus(decoder):
    for refused in NOT_READ[decoder]:
        assert any(name.startswith(refused) for name in FILES[0])


def test_the_corpus_has_every_format_that_is_read():
    assert {sniff(file.data) for file in FILES[0].values()} == {
        "jpeg", "png", "webp", "avif", "gif", "tiff", "bmp", "heic",
    }  # fmt: skip
