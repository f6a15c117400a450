"""Files that are small and would be much: each claims, repeats or nests what it does not have."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

from tests.conftest import encoded, picture
from tests.files import animation, chunk

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def png_of(width, height, *chunks, bits=8, colour=2):
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(b""))
    return SIGNATURE + chunk(b"IHDR", header) + b"".join(chunks) + data + chunk(b"IEND", b"")


def white_png(side):
    """One bit a pixel, all of it there: a real bomb, 10,000 x 10,000 in 12 kB."""
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    packer = zlib.compressobj(9)
    row = b"\0" + b"\xff" * ((side + 7) // 8)
    packed = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    return SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def jpeg_of(width, height):
    data = bytearray(encoded(picture(16, 16), "jpeg"))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def jpeg_of_scans(count):
    """A progressive JPEG that refines nothing, again and again."""
    data = encoded(picture(64, 64), "jpeg", progressive=True)
    at = data.rindex(b"\xff\xda")
    return data[:at] + data[at:-2] * count + data[-2:]


def jpeg_of_exif(megabytes):
    """EXIF in segments, which Pillow joins, whose entries all name the same bytes."""
    count = 5_000
    entries = b"".join(struct.pack("<HHII", 0x1000 + each, 7, megabytes * 2**20, 8) for each in range(count))
    exif = b"II*\0\x08\0\0\0" + struct.pack("<H", count) + entries + bytes(4)
    exif += bytes(megabytes * 2**20 + 8 - len(exif) % 2)
    parts = [exif[at : at + 65_000] for at in range(0, len(exif), 65_000)]
    segments = b"".join(b"\xff\xe1" + struct.pack(">H", len(part) + 8) + b"Exif\0\0" + part for part in parts)
    return b"\xff\xd8" + segments + encoded(picture(16, 16), "jpeg")[2:]


def webp_of(width, height):
    data = bytearray(encoded(np.zeros((4, 4, 4), np.uint8), "webp", lossless=True, exif=b"Exif\0\0II*\0\x08\0\0\0\0\0"))
    at = data.index(b"VP8X") + 12
    data[at : at + 6] = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    return bytes(data)


def tiff_of(**tags):
    """A TIFF of 16 x 16, with some tags changed: width, height, strip_rows."""
    numbers = {"width": 256, "height": 257, "strip_rows": 278}
    image = Image.fromarray(picture(16, 16))
    buffer = io.BytesIO()
    image.save(buffer, "TIFF", compression="tiff_lzw")
    data = bytearray(buffer.getvalue())
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    for name, value in tags.items():
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            if struct.unpack_from("<H", data, entry)[0] == numbers[name]:
                struct.pack_into("<HII", data, entry + 2, 4, 1, value)
    return bytes(data)


def tiff_of_tiles(side):
    """One tile, far larger than the picture, compressed to nearly nothing."""
    packed = zlib.compress(bytes(1000))
    values = {256: 16, 257: 16, 258: 8, 259: 8, 262: 1, 277: 1, 322: side, 323: side, 324: 8, 325: len(packed)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(values.items()))
    directory = struct.pack("<H", len(values)) + entries + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(packed)) + packed + directory


def tiff_of_entries():
    """A directory whose entries all name the same megabyte."""
    count = 4_000
    entries = b"".join(struct.pack("<HHII", 0x1000 + each, 7, 2**20, 8) for each in range(count))
    return b"II*\0" + struct.pack("<I", 8 + 2**20) + bytes(2**20) + struct.pack("<H", count) + entries + bytes(4)


def bmp_of(width, height):
    data = bytearray(encoded(picture(8, 8), "bmp"))
    data[18:26] = struct.pack("<ii", width, height)
    return bytes(data)


def gif_of(width, height):
    data = bytearray(encoded(picture(8, 8)[..., 0], "gif"))
    data[6:10] = struct.pack("<HH", width, height)
    return bytes(data)


def gif_that_grows():
    """Its second frame is 9,000 pixels wide and high."""
    data = bytearray(animation("gif", [picture(8, 8, seed=each) for each in range(2)], 50))
    second = data.rindex(b"\x2c\0\0\0\0\x08\0\x08\0")
    data[second + 5 : second + 9] = struct.pack("<HH", 9_000, 9_000)
    return bytes(data)


def gif_of_frames(count):
    """Each of one pixel."""
    one = b"\x2c\0\0\0\0\1\0\1\0\0\2\2\x44\1\0"
    return b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff" + count * one + b";"


def apng_of_frames(count):
    """It says so, and has one."""
    control = chunk(b"acTL", struct.pack(">II", count, 0))
    frame = chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 8, 8, 0, 0, 1, 10, 0, 0))
    data = encoded(picture(8, 8))
    at = data.index(b"IDAT") - 4
    return data[:at] + control + frame + data[at:]


def avif_of(width, height):
    """The container says another size than the pictures in it."""
    data = bytearray(encoded(picture(64, 64), "avif"))
    at = data.index(b"ispe") + 8
    data[at : at + 8] = struct.pack(">II", width, height)
    return bytes(data)


def avif_that_hides(side):
    """The container says 64 x 64, the picture in it is larger."""
    data = bytearray(encoded(np.zeros((side, side, 3), np.uint8), "avif", speed=10, quality=1))
    at = data.index(b"ispe") + 8
    data[at : at + 8] = struct.pack(">II", 64, 64)
    return bytes(data)


def bombs():
    """By name: the file, and the statuses that are right for it."""
    hidden = zlib.compress(bytes(60_000_000), 9)
    return {
        "png, claimed": (png_of(60_000, 60_000), {413}),
        "png, real": (white_png(10_000), {413}),
        "png, sixteen bits": (png_of(30_000, 30_000, bits=16), {413}),
        "png, profile": (png_of(8, 8, chunk(b"iCCP", b"x\0\0" + hidden)), {422, 200}),
        "png, text": (png_of(8, 8, chunk(b"zTXt", b"x\0\0" + hidden)), {422, 200}),
        "png, frames": (apng_of_frames(2**31 - 1), {413}),
        "png, fewer frames": (apng_of_frames(20), {422}),
        "jpeg, claimed": (jpeg_of(65_000, 65_000), {413}),
        "jpeg, scans": (jpeg_of_scans(5_000), {422}),
        "jpeg, exif": (jpeg_of_exif(1), {422}),
        "webp": (webp_of(16_384, 16_384), {413, 422}),
        "tiff, claimed": (tiff_of(width=60_000, height=60_000), {413}),
        "tiff, strips": (tiff_of(strip_rows=2**31), {200, 422}),
        "tiff, tiles": (tiff_of_tiles(40_000), {413}),
        "tiff, entries": (tiff_of_entries(), {422}),
        "bmp": (bmp_of(40_000, 40_000), {413}),
        "gif": (gif_of(65_535, 65_535), {413}),
        "gif, growing": (gif_that_grows(), {413}),
        "gif, frames": (gif_of_frames(200_000), {413}),
        "avif": (avif_of(30_000, 30_000), {413, 422}),
        "avif, hidden": (avif_that_hides(6_000), {413}),
    }
