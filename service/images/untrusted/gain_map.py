"""Detection of gain maps, which make parts of an image brighter than white on HDR displays. They are not decoded."""

from service.images.formats import Source
from service.images.untrusted.jpeg import structure

_MARKS = (
    b"http://ns.adobe.com/hdr-gain-map/1.0/",
    b"http://ns.apple.com/HDRGainMap/1.0/",
    b"urn:iso:std:iso:ts:21496:-1",
)
"""Ultra HDR version 1 and Adobe, Apple, and ISO 21496-1."""

_APPLE_ITEM = b"urn:com:apple:photo:2020:aux:hdrgainmap"
_BOXES_BYTES = 2**16


def is_in(data: bytes, kind: Source) -> bool:
    """Return whether a file has a gain map: in the segments of a JPEG, or as an item of a HEIC or AVIF."""
    if kind == "jpeg":
        return any(mark in content for _, content in structure(data).segments for mark in _MARKS)
    if kind in {"heic", "avif"}:
        boxes = data[:_BOXES_BYTES]
        return _APPLE_ITEM in boxes or (b"infe" in boxes and b"tmap" in boxes)
    return False
