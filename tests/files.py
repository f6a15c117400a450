"""Files made in code: colour profiles, sixteen-bit pictures, animations, and files that lie."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

ADOBE_RGB = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
DISPLAY_P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
"""Red, green and blue as XYZ under D50, from the published primaries."""

_D50 = (0.9642, 1.0, 0.8249)


def _fixed(*values):
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def _profile(space, pcs, kind, tags):
    """An ICC profile, version 2, of the given tags."""
    names, offset, body, table = list(tags), 128 + 4 + 12 * len(tags), b"", b""
    for name in names:
        content = tags[name] + bytes(-len(tags[name]) % 4)
        table += name + struct.pack(">II", offset + len(body), len(tags[name]))
        body += content
    size = offset + len(body)
    header = struct.pack(">I4s4s4s4s4s12s4s", size, b"none", b"\x02\x40\0\0", kind, space, pcs, bytes(12), b"acsp")
    header += bytes(28) + _fixed(*_D50) + bytes(48)
    return header + struct.pack(">I", len(names)) + table + body


def _texts():
    name = b"made in a test\0"
    description = b"desc" + bytes(4) + struct.pack(">I", len(name)) + name + bytes(4 + 4 + 2 + 1 + 67)
    return {b"desc": description, b"cprt": b"text" + bytes(4) + b"CC0\0", b"wtpt": b"XYZ " + bytes(4) + _fixed(*_D50)}


def rgb_profile(colorants, gamma=None):
    """A profile of three colorants; gamma None: the sRGB curve, sampled."""
    if gamma is None:
        x = np.linspace(0, 1, 1024)
        curve = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
        points = struct.pack(">I", 1024) + np.rint(curve * 65535).astype(">u2").tobytes()
    else:
        points = struct.pack(">IH", 1, round(gamma * 256))
    tags = {
        key: b"XYZ " + bytes(4) + _fixed(*xyz) for key, xyz in zip((b"rXYZ", b"gXYZ", b"bXYZ"), colorants, strict=True)
    }
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), b"curv" + bytes(4) + points)
    return _profile(b"RGB ", b"XYZ ", b"mntr", _texts() | tags)


def grey_profile(gamma):
    return _profile(
        b"GRAY", b"XYZ ", b"mntr", _texts() | {b"kTRC": b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256))}
    )


def cmyk_profile(paper=(95, 0, 0)):
    """Inks of a plain sort: a table of the sixteen full overprints, in between linear in Lab."""
    inks = np.array([[58, -30, -45], [48, 70, -5], [88, -8, 90], [15, 0, 0]]) - np.array(paper)
    corners = []
    for index in range(16):
        used = [(index >> (3 - ink)) & 1 for ink in range(4)]
        lab = np.array(paper) + sum(on * ink for on, ink in zip(used, inks, strict=True))
        corners.append([max(lab[0], 3) * 652.8, (lab[1] + 128) * 256, (lab[2] + 128) * 256])
    clut = np.clip(np.rint(corners), 0, 65535).astype(">u2").tobytes()
    ramp = np.array([0, 65535], ">u2").tobytes()
    head = b"mft2" + bytes(4) + struct.pack(">BBBB", 4, 3, 2, 0) + _fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    table = head + struct.pack(">HH", 2, 2) + 4 * ramp + clut + 3 * ramp
    return _profile(b"CMYK", b"Lab ", b"prtr", _texts() | {b"A2B0": table})


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png16(pixels, *chunks):
    """uint16 (H, W, 1 to 4) as a PNG, written by hand: no library of ours has a part in it."""
    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = pixels.astype(">u2").reshape(height, -1)
    data = b"".join(b"\0" + row.tobytes() for row in rows)
    parts = [chunk(b"IHDR", header), *chunks, chunk(b"IDAT", zlib.compress(data)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def read_png16(data):
    """uint16 (H, W, C) of a PNG with 16 bits, by hand: the five filters of the specification."""
    width, height, bits, colour = struct.unpack(">IIBB", data[16:26])
    assert bits == 16
    channels, at, packed = {0: 1, 4: 2, 2: 3, 6: 4}[colour], 8, b""
    while at < len(data):
        (length,), kind = struct.unpack(">I", data[at : at + 4]), data[at + 4 : at + 8]
        packed += data[at + 8 : at + 8 + length] if kind == b"IDAT" else b""
        at += 12 + length
    raw, step = zlib.decompress(packed), 2 * channels
    stride, above, rows = 2 * channels * width, bytearray(2 * channels * width), []
    for y in range(height):
        kind, row = raw[y * (stride + 1)], bytearray(raw[y * (stride + 1) + 1 : (y + 1) * (stride + 1)])
        for i in range(stride):
            left, up, corner = row[i - step] if i >= step else 0, above[i], above[i - step] if i >= step else 0
            nearest = min((left, up, corner), key=lambda v, p=left + up - corner: abs(p - v))
            row[i] = (row[i] + (0, left, up, (left + up) // 2, nearest)[kind]) & 255
        rows.append(bytes(row))
        above = row
    return np.frombuffer(b"".join(rows), ">u2").astype(np.uint16).reshape(height, width, channels)


def tiff16(pixels, icc=None, extra=None, orientation=1):
    """uint16 (H, W, 1 to 4) as an uncompressed TIFF, written by hand. extra: 1 premultiplied alpha, 2 alpha."""
    height, width, channels = pixels.shape
    values = {256: (3, [width]), 257: (3, [height]), 258: (3, [16] * channels), 259: (3, [1])}
    values |= {262: (3, [2 if channels >= 3 else 1]), 274: (3, [orientation]), 277: (3, [channels]), 278: (3, [height])}
    if extra:
        values[338] = (3, [extra])
    data = pixels.astype("<u2").tobytes()
    values |= {273: (4, [8]), 279: (4, [len(data)])}
    if icc:
        values[34675] = (7, list(icc))
    entries, tail, start = b"", b"", 8 + len(data)
    after = start + 2 + 12 * len(values) + 4
    for tag, (kind, numbers) in sorted(values.items()):
        content = struct.pack(f"<{len(numbers)}{ {3: 'H', 4: 'I', 7: 'B'}[kind] }", *numbers)
        if len(content) > 4:
            content, tail = struct.pack("<I", after + len(tail)), tail + content + bytes(len(content) % 2)
        entries += struct.pack("<HHI", tag, kind, len(numbers)) + content.ljust(4, b"\0")
    return struct.pack("<2sHI", b"II", 42, start) + data + struct.pack("<H", len(values)) + entries + bytes(4) + tail


def animation(kind, pictures, milliseconds, **options):
    """Arrays (H, W, 3 or 4) as an animated GIF, WebP or PNG."""
    first, *others = map(Image.fromarray, pictures)
    buffer = io.BytesIO()
    first.save(buffer, kind.upper(), save_all=True, append_images=others, duration=milliseconds, **options)
    return buffer.getvalue()


def frames_of(data):
    """The pictures of a file, each as RGBA, and the milliseconds of each."""
    image, pictures, milliseconds = Image.open(io.BytesIO(data)), [], []
    for index in range(getattr(image, "n_frames", 1)):
        image.seek(index)
        pictures.append(np.asarray(image.convert("RGBA")))  # (loads: what is read of it is known only then)
        milliseconds.append(image.info.get("duration", 0))
    return pictures, milliseconds
