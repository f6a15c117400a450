"""Animations as Chromium's decoder shows them, frame by frame: ours must be the same."""

import base64
import struct

import numpy as np
import pytest
from PIL import Image

from service.images.decode import decode, measure
from service.images.formats import sniff
from service.images.types import DecodeOptions
from tests.files import animation

DECODE = """
const [data, type, done] = arguments;
(async () => {
  const bytes = Uint8Array.from(atob(data), c => c.charCodeAt(0));
  const decoder = new ImageDecoder({data: bytes, type, colorSpaceConversion: "none", premultiplyAlpha: "none"});
  await decoder.tracks.ready;
  await decoder.completed;
  const track = decoder.tracks.selectedTrack, frames = [];
  for (let frameIndex = 0; frameIndex < track.frameCount; frameIndex++) {
    const {image} = await decoder.decode({frameIndex});
    const pixels = new Uint8Array(image.displayWidth * image.displayHeight * 4);
    await image.copyTo(pixels, {format: "RGBA"});
    frames.push({width: image.displayWidth, height: image.displayHeight, duration: image.duration,
                 pixels: btoa(pixels.reduce((text, byte) => text + String.fromCharCode(byte), ""))});
  }
  done({frames, repetitions: String(track.repetitionCount)});
})().catch(error => done({error: String(error)}));
"""

GREEN_RED_BLUE_WHITE = ((0, 255, 0), (255, 0, 0), (0, 0, 255), (255, 255, 255))
GREYS = tuple((level, level, level) for level in range(256))
FULL, MIDDLE, CORNER, OVER_THE_EDGE = (0, 0, 32, 32), (8, 8, 16, 16), (0, 0, 4, 4), (16, 16, 32, 32)


def lzw(width, indices):
    """Uncompressed codes: a clear code before the table can grow."""
    clear, bits, codes = 1 << width, "", []
    for number, index in enumerate(indices):
        codes += [clear] * (number % (clear - 2) == 0) + [index]
    for code in [*codes, clear + 1]:
        bits += f"{code:0{width + 1}b}"[::-1]
    packed = bytes(int(bits[at : at + 8].ljust(8, "0")[::-1], 2) for at in range(0, len(bits), 8))
    blocks = [packed[at : at + 255] for at in range(0, len(packed), 255)]
    return bytes([width]) + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0"


def gif(frames, palette, size=(32, 32), background=0):
    """frames: (box, index, disposal, transparent index or None, own palette or None), each of one colour."""
    bits = max(2, len(palette).bit_length() - 1)
    data = b"GIF89a" + struct.pack("<HHBBB", *size, 0xF0 | len(palette).bit_length() - 2, background, 0)
    data += b"".join(map(bytes, palette))
    data += b"\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0"
    for (left, top, width, height), index, disposal, transparent, own in frames:
        flags = disposal << 2 | (transparent is not None)
        data += b"\x21\xf9\x04" + struct.pack("<BHB", flags, 10, transparent or 0) + b"\0"
        data += b"\x2c" + struct.pack(
            "<HHHHB", left, top, width, height, 0x80 | len(own).bit_length() - 2 if own else 0
        )
        data += b"".join(map(bytes, own or ())) + lzw(bits, [index] * (width * height))
    return data + b";"


def layers():
    """Frames with an opaque, a transparent and a partly covered picture, in some order."""
    red = np.array(Image.new("RGBA", (32, 32), (255, 0, 0, 255)))
    ball = np.zeros((32, 32, 4), np.uint8)
    ball[8:24, 8:24] = (0, 0, 255, 255)
    half = red.copy()
    half[:, 16:, 3] = 0
    return [[red, ball], [ball, red, ball], [red, half, ball, red], [half, half[:, ::-1].copy(), half]]


CORPUS = {
    "nothing around a frame": gif([(MIDDLE, 1, 0, None, None)], GREEN_RED_BLUE_WHITE),
    "nothing around the first": gif([(MIDDLE, 1, 0, None, None), (CORNER, 2, 0, None, None)], GREEN_RED_BLUE_WHITE),
    "cleared": gif([(FULL, 1, 2, None, None), (MIDDLE, 2, 0, None, None)], GREEN_RED_BLUE_WHITE),
    "restored": gif(
        [(FULL, 1, 1, None, None), (MIDDLE, 2, 3, None, None), (CORNER, 3, 0, None, None)], GREEN_RED_BLUE_WHITE
    ),
    "restored to nothing": gif([(FULL, 1, 3, None, None), (MIDDLE, 2, 0, None, None)], GREEN_RED_BLUE_WHITE),
    "cleared, and restored": gif(
        [(FULL, 1, 2, None, None), (MIDDLE, 2, 3, None, None), (CORNER, 3, 2, None, None), (MIDDLE, 0, 0, None, None)],
        GREEN_RED_BLUE_WHITE,
    ),
    "transparent over opaque": gif([(FULL, 1, 1, None, None), (FULL, 2, 1, 2, None)], GREEN_RED_BLUE_WHITE),
    "another background": gif([(MIDDLE, 1, 2, 3, None), (CORNER, 2, 2, 3, None)], GREEN_RED_BLUE_WHITE, background=2),
    "greys, then colours": gif(
        [(FULL, 100, 0, None, None), (FULL, 1, 0, None, ((9, 9, 9), (200, 100, 50)) + ((0, 0, 0),) * 254)], GREYS
    ),
    "over the edge": gif([(FULL, 1, 0, None, None), (OVER_THE_EDGE, 2, 0, None, None)], GREEN_RED_BLUE_WHITE),
    "over the edge, cleared": gif(
        [(FULL, 1, 0, None, None), (OVER_THE_EDGE, 2, 2, None, None), (CORNER, 3, 0, None, None)], GREEN_RED_BLUE_WHITE
    ),
    "outside": gif([(FULL, 1, 0, None, None), ((40, 40, 8, 8), 2, 0, None, None)], GREEN_RED_BLUE_WHITE),
}
CORPUS |= {f"gif {number}": animation("gif", frames, 100, loop=0) for number, frames in enumerate(layers())}
CORPUS |= {
    f"gif, cleared {number}": animation("gif", frames, 100, disposal=2) for number, frames in enumerate(layers())
}
CORPUS |= {f"webp {n}": animation("webp", frames, 100, loop=0, lossless=True) for n, frames in enumerate(layers())}
CORPUS |= {
    f"png {number}, {disposal} {blend}": animation("png", frames, 100, loop=0, disposal=disposal, blend=blend)
    for number, frames in enumerate(layers())
    for disposal in (0, 1, 2)
    for blend in (0, 1)
}


def shown_by_chromium(driver, data):
    """RGBA of each frame, and its milliseconds."""
    answer = driver.execute_async_script(DECODE, base64.b64encode(data).decode(), f"image/{sniff(data)}")
    assert "error" not in answer, answer
    frames = [
        np.frombuffer(base64.b64decode(each["pixels"]), np.uint8).reshape(each["height"], each["width"], 4)
        for each in answer["frames"]
    ]
    return frames, [(each["duration"] or 0) / 1000 for each in answer["frames"]]


def shown_by_us(data):
    header = measure(data, 10**6, 100)
    read = decode(data, header, DecodeOptions("png", header.frames, enlarging=True))
    frames = [
        np.dstack([each.pixels, np.full(each.pixels.shape[:2], 255, np.uint8) if each.alpha is None else each.alpha])
        for each in read.frames
    ]
    return frames, [each.milliseconds for each in read.frames]


def visible(frame):
    """Colours under full transparency mean nothing."""
    return np.where(frame[..., 3:] == 0, 0, frame)


@pytest.mark.parametrize("name", CORPUS)
def test_every_frame_is_what_chromium_shows(driver, served, name):
    if not driver.current_url.startswith(served[0]):
        driver.get(served[0])  # decoders need a secure origin: loopback is one
    theirs, their_times = shown_by_chromium(driver, CORPUS[name])
    ours, our_times = shown_by_us(CORPUS[name])
    assert len(ours) == len(theirs)
    for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        assert one.shape == other.shape, (number, one.shape, other.shape)
        assert np.array_equal(visible(one), visible(other)), (number, one[::8, ::8].tolist(), other[::8, ::8].tolist())
    assert len(ours) == 1 or our_times == their_times
