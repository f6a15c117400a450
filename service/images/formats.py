"""The image formats that are taken and given: their names, media types, first bytes and what they can hold."""

from collections.abc import Mapping
from typing import Literal

Source = Literal["jpeg", "png", "webp", "avif", "gif", "tiff", "bmp", "heic"]
"""What is taken."""

Format = Literal["jpeg", "png", "webp", "avif", "gif", "tiff"]
"""What is answered; GIF only where an animation came."""

SUFFIXES: Mapping[Format, str] = {
    "jpeg": "jpg",
    "png": "png",
    "webp": "webp",
    "avif": "avif",
    "gif": "gif",
    "tiff": "tiff",
}
"""What a file of that format is called at its end."""

MEDIA_TYPES: Mapping[Format, str] = {
    "jpeg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "avif": "image/avif",
    "gif": "image/gif",
    "tiff": "image/tiff",
}
SOURCE_MEDIA_TYPES: Mapping[Source, str] = {
    "jpeg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "avif": "image/avif",
    "gif": "image/gif",
    "tiff": "image/tiff",
    "bmp": "image/bmp",
    "heic": "image/heic",
}

MAX_SIDE_PX: Mapping[Format, int] = {
    "jpeg": 65_500,
    "png": 2**31 - 1,
    "webp": 16_383,
    "avif": 65_536,
    "gif": 65_535,
    "tiff": 2**31 - 1,
}
"""The longest side that a format, or its encoder, can hold."""

ANIMATING: frozenset[str] = frozenset({"gif", "webp", "png"})
"""Formats whose animations are read and written, every frame."""

GREY: frozenset[str] = frozenset({"jpeg", "png", "avif", "tiff"})
"""Formats that can say that a picture is grey. The others hold three equal channels."""

PROFILED: frozenset[str] = frozenset({"jpeg", "png", "webp", "avif", "tiff"})
"""Formats that can carry a colour profile."""

DEEP: frozenset[str] = frozenset({"png", "tiff"})
"""Formats that are written with sixteen bits a sample."""

_FIRST_BYTES: tuple[tuple[bytes, Source], ...] = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"II+\x00", "tiff"),
    (b"MM\x00+", "tiff"),
    (b"BM", "bmp"),
)
_OTHERS: tuple[tuple[bytes, str], ...] = (
    (b"%PDF", "PDF"),
    (b"<svg", "SVG"),
    (b"8BPS", "PSD"),
    (b"\x00\x00\x01\x00", "ICO"),
)
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_FILE_TYPE_BOX_BYTES = 64


def sniff(data: bytes) -> Source | None:
    """The format that the first bytes announce, or None: file names and Content-Type are only claims."""
    for magic, kind in _FIRST_BYTES:
        if data.startswith(magic):
            return kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    brands = _brands(data)
    if brands & _AVIF_BRANDS:
        return "avif"
    return "heic" if brands & _HEIC_BRANDS else None


def guess(data: bytes) -> str:
    """What else the first bytes look like, for the message that refuses them."""
    for magic, name in _OTHERS:
        if data.startswith(magic):
            return name
    if data[4:8] == b"ftyp":
        return "a video, or a HEIF without HEVC"
    if data.startswith((b"\xff\x0a", b"\x00\x00\x00\x0cJXL ")):
        return "JPEG XL"
    return "text" if data[:512].isascii() else "unknown data"


def _brands(data: bytes) -> set[bytes]:
    """The brands of an ISO base media file, the major one and the compatible ones."""
    if data[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(data[:4], "big"), _FILE_TYPE_BOX_BYTES, len(data))
    return {data[8:12]} | {data[start : start + 4] for start in range(16, end - 3, 4)}
