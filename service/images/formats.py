"""Image formats of inputs and outputs: names, media types, first bytes and capabilities."""

from collections.abc import Mapping
from typing import Literal

Source = Literal["jpeg", "png", "webp", "avif", "gif", "tiff", "bmp", "heic"]
"""Input formats."""

Format = Literal["jpeg", "png", "webp", "avif", "gif", "tiff"]
"""Output formats; GIF only for animations."""

SUFFIXES: Mapping[Format, str] = {
    "jpeg": "jpg",
    "png": "png",
    "webp": "webp",
    "avif": "avif",
    "gif": "gif",
    "tiff": "tiff",
}
"""The file name suffix of each format."""

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
"""The longest side that a format or its encoder supports."""

ANIMATING: frozenset[str] = frozenset({"gif", "webp", "png"})
"""Formats whose animations are read and written."""

GREY: frozenset[str] = frozenset({"jpeg", "png", "avif", "tiff"})
"""Formats with a grey mode. The others hold three equal channels."""

PROFILED: frozenset[str] = frozenset({"jpeg", "png", "webp", "avif", "tiff"})
"""Formats that can carry a colour profile."""

LOSSLESS: frozenset[str] = frozenset({"png", "webp", "tiff"})
"""Formats that can be written without loss."""

DEEP: frozenset[str] = frozenset({"png", "tiff"})
"""Formats that are written with 16 bits per sample."""

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
    """Detect the format from the first bytes, or return None. File names and Content-Type are not trusted."""
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
    """Name another format that the first bytes suggest, for an error message."""
    for magic, name in _OTHERS:
        if data.startswith(magic):
            return name
    if data[4:8] == b"ftyp":
        return "a video, or a HEIF without HEVC"
    if data.startswith((b"\xff\x0a", b"\x00\x00\x00\x0cJXL ")):
        return "JPEG XL"
    return "text" if data[:512].isascii() else "unknown data"


def _brands(data: bytes) -> set[bytes]:
    """Return the brands of an ISO base media file, the major one and the compatible ones."""
    if data[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(data[:4], "big"), _FILE_TYPE_BOX_BYTES, len(data))
    return {data[8:12]} | {data[start : start + 4] for start in range(16, end - 3, 4)}
