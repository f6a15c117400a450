"""The chunks of a PNG, read without decoding.

A damaged ancillary chunk (its name starts with a small letter) is left out, as in browsers. A damaged critical chunk
makes the image broken. Texts are removed before decoding, because Pillow refuses long ones.
"""

import struct
import zlib
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MOST_TEXT_BYTES = 2**20
_TEXTS = frozenset({b"tEXt", b"zTXt", b"iTXt"})
_OF_FRAMES = frozenset({b"acTL", b"fcTL", b"fdAT"})
"""Chunks that are ancillary by name and critical to an animation."""

_COLOURS = frozenset({b"cICP", b"sRGB", b"gAMA", b"cHRM", b"pHYs"})
_FOR_DECODERS = _OF_FRAMES | frozenset(
    {
        *(b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"iCCP", b"eXIf"),
    }
)


class PngError(OSError):
    """A critical chunk is damaged."""


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield (name, content) of the chunks up to IEND. Raises PngError for a wrong checksum of a critical chunk.

    A chunk that is cut by the end of the file is yielded as far as it goes; the decoder then reports what is missing.
    """
    at = len(SIGNATURE)
    while at + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        content = data[at + 8 : at + 8 + length]
        (checksum,) = struct.unpack(">I", data[at + 8 + length : at + 12 + length].rjust(4, b"\0"))
        whole = at + 12 + length <= len(data)
        intact = whole and checksum == zlib.crc32(content, zlib.crc32(name))
        ancillary = bool(name[0] & 0x20) and name not in _OF_FRAMES
        if whole and not intact and not ancillary:
            raise PngError(f"the checksum of a chunk {name.decode('latin-1')} is wrong")
        if intact or not ancillary:
            yield name, content
        if name == b"IEND":
            return
        at += 12 + length


def for_decoders(data: bytes) -> bytes:
    """Return the file with only the chunks that matter to the pixels, with correct checksums."""
    packed, name = [SIGNATURE], b""
    first_frame = True
    for name, content in chunks(data):
        if name in _FOR_DECODERS:
            written = _cleared_first(content) if name == b"fcTL" and first_frame else content
            first_frame &= name != b"fcTL"
            packed += [struct.pack(">I", len(written)), name, written]
            packed.append(struct.pack(">I", zlib.crc32(written, zlib.crc32(name))))
    end = b"" if name == b"IEND" else b"\0\0\0\0IEND\xae\x42\x60\x82"  # it contains no pixel
    return b"".join([*packed, end])


def _cleared_first(control: bytes) -> bytes:
    """Return the control of the first frame, with 'restore' replaced by 'clear', as the specification says."""
    return control[:24] + b"\1" + control[25:] if control[24:25] == b"\2" else control


def facts(data: bytes) -> dict[bytes, bytes]:
    """Return the chunks about colours and resolution: content by name."""
    return {name: content for name, content in chunks(data) if name in _COLOURS}


def texts(data: bytes) -> Iterator[tuple[str, str]]:
    """Yield (keyword, text) of each readable text of at most 1 MiB."""
    for name, content in chunks(data):
        if name in _TEXTS and b"\0" in content[:80]:
            keyword, rest = content.split(b"\0", 1)
            text = _text(name, rest)
            if text is not None:
                yield keyword.decode("latin-1"), text


def _text(name: bytes, rest: bytes) -> str | None:
    packed, encoding = name == b"zTXt", "latin-1"
    if name == b"iTXt":
        parts = rest[2:].split(b"\0", 2)  # language, translated keyword, text
        if len(parts) < 3:
            return None
        packed, encoding, rest = rest[:1] == b"\1", "utf-8", parts[2]
    elif packed:
        rest = rest[1:]
    if packed:
        unpacker = zlib.decompressobj()
        try:
            rest = unpacker.decompress(rest, _MOST_TEXT_BYTES)
        except zlib.error:
            return None
        if not unpacker.eof:
            return None
    return rest.decode(encoding, "replace") if len(rest) <= _MOST_TEXT_BYTES else None
