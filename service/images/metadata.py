"""What a file says besides its pixels: read where the client wants it kept, and handed to the answer's format."""

import re
from dataclasses import dataclass
from typing import Any

from PIL import Image, PngImagePlugin

from service.images.formats import Format
from service.images.untrusted import tiff

_ORIENTATION_IN_XMP = (
    (rb'tiff:Orientation="[0-9]"', b'tiff:Orientation="1"'),
    (rb"<tiff:Orientation>[0-9]</tiff:Orientation>", b"<tiff:Orientation>1</tiff:Orientation>"),
)
_OF_A_TIFF = (0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298)
"""Of a TIFF's tags, those about the picture: description, camera, software, date, artist, rights."""

_DIRECTORIES = (0x8769, 0x8825)  # EXIF, GPS
_UNTRUE_IN_EXIF = (0xA002, 0xA003, 0xA005)  # width and height, which are the answer's now; where another directory was
_XMP_KEY = "XML:com.adobe.xmp"
_XMP_TAG = 700
_JPEG_SEGMENT_BYTES = 65_000


@dataclass(frozen=True)
class Metadata:
    """EXIF (upright, without thumbnail), XMP and a comment: bytes, empty where there is none."""

    exif: bytes = b""
    xmp: bytes = b""
    comment: bytes = b""

    def options(self, kind: Format) -> dict[str, Any]:
        """What Pillow's encoder of `kind` takes to write it, as far as it can."""
        if kind == "gif":
            return {"comment": self.comment} if self.comment else {}
        if kind == "png":
            return {"exif": self.exif or None, "pnginfo": self._png_texts()}
        options = {"exif": self.exif, "xmp": self.xmp}
        if kind == "jpeg":
            options["comment"] = self.comment
            options = {key: value for key, value in options.items() if len(value) < _JPEG_SEGMENT_BYTES}
        return {key: value for key, value in options.items() if value}

    def png_chunks(self) -> list[tuple[bytes, bytes]]:
        """The same as the chunks of a PNG: (name, content)."""
        chunks = [(b"eXIf", self.exif.removeprefix(b"Exif\x00\x00"))] if self.exif else []
        return chunks + [(name, content) for name, content, *_ in self._png_texts().chunks]

    def _png_texts(self) -> PngImagePlugin.PngInfo:
        texts = PngImagePlugin.PngInfo()
        if self.xmp:
            texts.add_itxt(_XMP_KEY, self.xmp.decode("utf-8", "replace"))
        if self.comment:
            texts.add_itxt("Comment", self.comment.decode("utf-8", "replace"))
        return texts


def collect(image: Image.Image) -> Metadata:
    """Of an opened picture. What cannot be read is left out: it is no reason to refuse the pixels."""
    xmp = _xmp(image)
    for pattern, upright in _ORIENTATION_IN_XMP:
        xmp = re.sub(pattern, upright, xmp)
    comment = image.info.get("comment") or image.info.get("Comment") or b""
    return Metadata(_exif(image), xmp, comment.encode() if isinstance(comment, str) else bytes(comment))


def _exif(image: Image.Image) -> bytes:
    """Read and written anew: so the thumbnail is left behind, and whatever is not in the directories."""
    raw = image.info.get("exif", b"")
    if not tiff.is_modest(raw):
        return b""
    try:
        source = image.getexif()
        exif = Image.Exif()
        for tag, value in source.items():
            if tag in _DIRECTORIES:
                part = source.get_ifd(tag)
                exif[tag] = {each: part[each] for each in part if each not in _UNTRUE_IN_EXIF}
            elif tag != tiff.ORIENTATION and (image.format != "TIFF" or tag in _OF_A_TIFF):
                exif[tag] = value
        return exif.tobytes() if len(exif) else b""
    except Exception:  # noqa: BLE001  # Pillow's reader of EXIF raises nearly anything for EXIF that lies
        return b""


def _xmp(image: Image.Image) -> bytes:
    found = image.info.get("xmp") or image.info.get(_XMP_KEY)
    if found is None and image.format == "TIFF":
        found = image.tag_v2.get(_XMP_TAG)  # type: ignore[attr-defined]  # a TIFF has it
    if isinstance(found, str):
        return found.encode()
    return bytes(found) if isinstance(found, bytes | tuple) else b""
