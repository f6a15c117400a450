"""The image formats that are taken and given: their names, media types and first bytes."""

from collections.abc import Mapping
from typing import Literal

Format = Literal["jpeg", "png", "webp"]

MEDIA_TYPES: Mapping[Format, str] = {"jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp"}

SUFFIXES: Mapping[Format, str] = {"jpeg": "jpg", "png": "png", "webp": "webp"}
"""What a file of that format is called at its end."""

MAX_SIDE_PX: Mapping[Format, int] = {"jpeg": 65_500, "png": 2**31 - 1, "webp": 16_383}
"""The longest side that a format, or its encoder, can hold."""

_OTHERS: tuple[tuple[bytes, str], ...] = (
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"%PDF", "PDF"),
    (b"<svg", "SVG"),
)


def sniff(data: bytes) -> Format | None:
    """The format that the first bytes announce, or None: file names and Content-Type are only claims."""
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    return None


def guess(data: bytes) -> str:
    """What else the first bytes look like, for the message that refuses them."""
    for magic, name in _OTHERS:
        if data.startswith(magic):
            return name
    if data[4:12] in {b"ftypavif", b"ftypheic", b"ftypmif1"}:
        return "AVIF or HEIC"
    return "text" if data[:512].isascii() else "unknown data"
