"""XMP for the output. Entries that do not hold are corrected or removed."""

from collections.abc import Callable
from typing import Any
from xml.dom import Node, expatbuilder
from xml.parsers.expat import ExpatError

_MOST_BYTES = 2**20

_NAMES = {
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "hdrgm": "http://ns.adobe.com/hdr-gain-map/1.0/",
    "GCamera": "http://ns.google.com/photos/1.0/camera/",
    "Container": "http://ns.google.com/photos/1.0/container/",
    "Item": "http://ns.google.com/photos/1.0/container/item/",
    "GDepth": "http://ns.google.com/photos/1.0/depthmap/",
    "GImage": "http://ns.google.com/photos/1.0/image/",
    "GAudio": "http://ns.google.com/photos/1.0/audio/",
    "GPano": "http://ns.google.com/photos/1.0/panorama/",
    "xmpNote": "http://ns.adobe.com/xmp/note/",
    "HDRGainMap": "http://ns.apple.com/HDRGainMap/1.0/",
    "apdi": "http://ns.apple.com/pixeldatainfo/1.0/",
}
"""Conventional prefixes, for files that do not declare theirs."""

_OF_OTHER_PARTS = (
    *(_NAMES[prefix] for prefix in ("hdrgm", "GCamera", "Container", "Item", "GDepth", "GImage", "GAudio", "xmpNote")),
    *(_NAMES[prefix] for prefix in ("HDRGainMap", "apdi")),
    "http://ns.google.com/photos/dd/",
)
"""Namespaces about other parts of the file: gain maps, videos, depth maps, further XMP."""

_OF_SIZES = frozenset(
    {
        *((_NAMES["tiff"], name) for name in ("ImageWidth", "ImageLength", "BitsPerSample", "Compression")),
        *((_NAMES["exif"], name) for name in ("PixelXDimension", "PixelYDimension")),
        (_NAMES["xmp"], "Thumbnails"),
    }
)
_ORIENTATION = (_NAMES["tiff"], "Orientation")


def rewritten(packet: bytes) -> bytes:
    """Return the packet for the output; empty if it cannot be parsed or is larger than 1 MiB."""
    packet = packet.strip(b"\0 \r\n\t")
    if not packet or len(packet) > _MOST_BYTES or b"<!DOCTYPE" in packet or b"<!ENTITY" in packet:
        return b""
    try:
        document = expatbuilder.parseString(packet, namespaces=False)  # noqa: S316  # without a DOCTYPE there are no entities
    except (ExpatError, ValueError, LookupError):
        return b""
    names = dict(_NAMES)
    _walk(document, lambda element: _declare(element, names))
    _walk(document, lambda element: _correct(element, names))
    return "".join(child.toxml() for child in document.childNodes).encode()


def _walk(node: Any, visit: Callable[[Any], None]) -> None:
    for child in list(node.childNodes):
        if child.nodeType == Node.ELEMENT_NODE:
            visit(child)
            _walk(child, visit)


def _declare(element: Any, names: dict[str, str]) -> None:
    for attribute, value in element.attributes.items():
        if attribute.startswith("xmlns:"):
            names[attribute.removeprefix("xmlns:")] = value


def _correct(element: Any, names: dict[str, str]) -> None:
    for attribute in [name for name, _ in element.attributes.items()]:
        if _is_stale(attribute, names):
            element.removeAttribute(attribute)
        elif _full(attribute, names) == _ORIENTATION:
            element.setAttribute(attribute, "1")
    if _is_stale(element.tagName, names):
        element.parentNode.removeChild(element)
    elif _full(element.tagName, names) == _ORIENTATION and element.firstChild is not None:
        element.firstChild.nodeValue = "1"


def _full(name: str, names: dict[str, str]) -> tuple[str, str]:
    prefix, _, local = name.rpartition(":")
    return names.get(prefix, ""), local


def _is_stale(name: str, names: dict[str, str]) -> bool:
    space, local = _full(name, names)
    sizes = (space, local) in _OF_SIZES or (space == _NAMES["GPano"] and local.endswith("Pixels"))
    return sizes or space.startswith(_OF_OTHER_PARTS)
