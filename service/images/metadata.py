"""Metadata: read if the client wants to keep it, and written into the output."""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from PIL import Image, PngImagePlugin

from service.images import exif, xmp
from service.images.formats import Format, Source
from service.images.untrusted import png

Resolution = tuple[float, float]
"""Pixels per inch, across and down."""

_XMP_KEY = "XML:com.adobe.xmp"
_IPTC_KEY, _EXIF_KEYS = "Raw profile type iptc", ("Raw profile type exif", "Raw profile type APP1")
_HANDLED_KEYS = (_XMP_KEY, "Comment", "Raw profile type ", "Thumb::")
"""PNG texts that are handled separately or do not hold for the output."""

_XMP_TAG, _IPTC_TAG = 700, 33723
_PHOTOSHOP, _IPTC_RESOURCE = b"Photoshop 3.0\0", 0x0404
_JPEG_SEGMENT_BYTES = 65_000
_MOST_TEXTS_BYTES = 4 * 2**20
_INCH_METRES = 0.0254


@dataclass(frozen=True)
class Metadata:
    """EXIF (upright, without thumbnail), XMP, IPTC and a comment; empty bytes for none.

    texts: keyword and text of each PNG text. resolution: None if the file has none.
    """

    exif: bytes = b""
    xmp: bytes = b""
    comment: bytes = b""
    iptc: bytes = b""
    texts: tuple[tuple[str, str], ...] = ()
    resolution: Resolution | None = None

    def options(self, kind: Format) -> dict[str, Any]:
        """Return the arguments of Pillow's encoder of `kind` that write the metadata, as far as it can."""
        match kind:
            case "gif":
                return {"comment": self.comment} if self.comment else {}
            case "png":
                return {"exif": self.exif or None, "pnginfo": self._png_texts()} | self._dpi()
            case "jpeg":
                return self._jpeg_options()
        return {key: value for key, value in (("exif", self.exif), ("xmp", self.xmp)) if value}

    def png_chunks(self) -> list[tuple[bytes, bytes]]:
        """Return the metadata as PNG chunks: (name, content)."""
        chunks = [(b"eXIf", self.exif.removeprefix(b"Exif\x00\x00"))] if self.exif else []
        if self.resolution is not None:
            across, down = (round(each / _INCH_METRES) for each in self.resolution)
            chunks.append((b"pHYs", struct.pack(">IIB", across, down, 1)))
        return chunks + [(name, content) for name, content, *_ in self._png_texts().chunks]

    def _jpeg_options(self) -> dict[str, Any]:
        options = {"exif": self.exif, "xmp": self.xmp, "comment": self.comment}
        if self.iptc:
            content = _PHOTOSHOP + b"8BIM" + struct.pack(">HHI", _IPTC_RESOURCE, 0, len(self.iptc)) + self.iptc
            content += bytes(len(self.iptc) % 2)
            options["extra"] = b"\xff\xed" + struct.pack(">H", (len(content) + 2) & 0xFFFF) + content
        return {key: value for key, value in options.items() if 0 < len(value) < _JPEG_SEGMENT_BYTES} | self._dpi()

    def _dpi(self) -> dict[str, Any]:
        return {} if self.resolution is None else {"dpi": self.resolution}

    def _png_texts(self) -> PngImagePlugin.PngInfo:
        texts = PngImagePlugin.PngInfo()
        if self.xmp:
            texts.add_itxt(_XMP_KEY, self.xmp.decode("utf-8", "replace"))
        if self.comment:
            texts.add_itxt("Comment", self.comment.decode("utf-8", "replace"))
        if self.iptc:
            lines = [self.iptc.hex()[at : at + 72] for at in range(0, 2 * len(self.iptc), 72)]
            texts.add_text(_IPTC_KEY, f"\niptc\n{len(self.iptc):8}\n" + "\n".join(lines) + "\n", zip=True)
        for keyword, text in self.texts:
            if text.isascii():
                texts.add_text(keyword, text)
            else:
                texts.add_itxt(keyword, text)
        return texts


def collect(data: bytes, image: Image.Image, kind: Source, everything: bool) -> Metadata | None:
    """Read the metadata of an opened image. Unreadable parts are left out and do not fail the request.

    everything: False reads the resolution only, which is always kept.
    """
    resolution = _resolution(data, image, kind)
    if not everything:
        return None if resolution is None else Metadata(resolution=resolution)
    texts = dict(_texts(data)) if kind == "png" else {}
    raw = data if kind == "tiff" else image.info.get("exif") or _raw_profile(texts, _EXIF_KEYS)
    comment = image.info.get("comment") or texts.get("Comment") or b""
    return Metadata(
        exif.rewritten(raw if isinstance(raw, bytes) else b"", kind == "tiff"),
        xmp.rewritten(_xmp(image, texts)),
        comment.encode() if isinstance(comment, str) else bytes(comment),
        _iptc(image, texts),
        tuple((key, text) for key, text in texts.items() if not key.startswith(_HANDLED_KEYS)),
        resolution,
    )


def _resolution(data: bytes, image: Image.Image, kind: Source) -> Resolution | None:
    """Return the resolution if the file has one. Pillow reports 72 for a JPEG without."""
    found: Any = None
    match kind:
        case "jpeg":
            unit = {1: 1.0, 2: 2.54}.get(image.info.get("jfif_unit", 0))
            found = [each * unit for each in image.info["jfif_density"]] if unit else None
        case "png":
            content = png.facts(data).get(b"pHYs", b"")
            if len(content) == 9 and content[8] == 1:
                found = [each * _INCH_METRES for each in struct.unpack(">II", content[:8])]
        case "tiff":
            found = exif.resolution(data)
        case "bmp":
            found = image.info.get("dpi")
    if found is None and isinstance(raw := image.info.get("exif"), bytes):
        found = exif.resolution(raw)
    if found is None or not all(1 <= float(each) <= 60_000 for each in found):
        return None
    return float(found[0]), float(found[1])


def _texts(data: bytes) -> Iterator[tuple[str, str]]:
    left = _MOST_TEXTS_BYTES
    for keyword, text in png.texts(data):
        left -= len(text)
        if left < 0:
            return
        if 0 < len(keyword) < 80:
            yield keyword, text


def _xmp(image: Image.Image, texts: dict[str, str]) -> bytes:
    found = image.info.get("xmp") or texts.get(_XMP_KEY)
    if found is None and image.format == "TIFF":
        found = image.tag_v2.get(_XMP_TAG)  # type: ignore[attr-defined]  # a TIFF has it
    if isinstance(found, str):
        return found.encode()
    return bytes(found) if isinstance(found, bytes | tuple) else b""


def _iptc(image: Image.Image, texts: dict[str, str]) -> bytes:
    """Return the IPTC records, from where each format stores them."""
    found: Any = None
    if image.format == "TIFF":
        found = image.tag_v2.get(_IPTC_TAG)  # type: ignore[attr-defined]  # a TIFF has it
        if isinstance(found, tuple):  # some writers store them as 32-bit numbers
            found = b"".join(struct.pack("<I", each) for each in found if isinstance(each, int) and 0 <= each < 2**32)
    elif image.format in {"JPEG", "MPO"}:
        resources = image.info.get("photoshop", {})
        found = resources.get(_IPTC_RESOURCE) if isinstance(resources, dict) else None
    elif texts:
        found = _raw_profile(texts, (_IPTC_KEY,))
        if found.startswith(b"8BIM"):  # ImageMagick writes a whole Photoshop block
            start = found.find(b"8BIM\x04\x04")
            (size,) = struct.unpack(">I", found[start + 8 : start + 12].rjust(4, b"\0")) if start >= 0 else (0,)
            found = found[start + 12 : start + 12 + size]
    return found if isinstance(found, bytes) and found.startswith(b"\x1c") else b""


def _raw_profile(texts: dict[str, str], keys: Iterable[str]) -> bytes:
    """Decode a profile that ImageMagick and others write into a PNG text: a name, a size and hexadecimal digits."""
    for key in keys:
        lines = texts.get(key, "").split("\n", 3)
        if len(lines) == 4:
            try:
                return bytes.fromhex("".join(lines[3].split()))
            except ValueError:
                continue
    return b""
