"""The structure of a JPEG file: segments and scans up to the end of the image, without decoding.

Data after the end of the image, such as the video of a motion photo, is not part of it. The content of segments is not
searched for markers, because a depth map may contain any bytes. Source: ITU-T T.81, annex B.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

MOST_SCANS = 100
"""A progressive JPEG has about ten scans. Each is a pass over the whole image, and may be a few bytes long."""

_END, _SCAN = 0xD9, 0xDA
_WITHOUT_CONTENT = frozenset({0x01, *range(0xD0, 0xD9)})
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_NEXT_MARKER = re.compile(rb"\xff+[^\x00\xd0-\xd7\xff]")
"""A marker in entropy-coded data that is neither a stuffed byte (ff 00) nor a restart marker."""

_JUNK_THEN_MARKER = re.compile(rb"\xff+[^\x00\xff]")


@dataclass
class Structure:
    """The structure of a JPEG.

    parts: the bytes of each marker, segment and scan, without junk between them; joined, they are the image.
    segments: (marker, content) of each application segment. scans: their number. has_end: whether the end marker is
    there. covered: whether the scans contain every coefficient of every component at full precision.
    """

    parts: list[memoryview] = field(default_factory=list)
    segments: list[tuple[int, bytes]] = field(default_factory=list)
    scans: int = 0
    has_end: bool = False
    covered: bool = True

    def image(self) -> bytes:
        """Return the image alone, with an end marker."""
        return b"".join([*self.parts, b"" if self.has_end else b"\xff\xd9"])


def structure(data: bytes) -> Structure:
    """Read the structure of the image at the start of the data. Stops after one scan more than `MOST_SCANS`."""
    view, found, coefficients = memoryview(data), Structure(), _Coefficients()
    found.parts.append(view[:2])
    at = 2
    while (marker := _JUNK_THEN_MARKER.search(data, at)) is not None:
        at, code = marker.end(), data[marker.end() - 1]
        if code == _END:
            found.parts.append(view[at - 2 : at])
            found.has_end = True
            break
        if code in _WITHOUT_CONTENT:
            continue
        content_end = at + int.from_bytes(data[at : at + 2], "big")
        content, end = data[at + 2 : content_end], content_end
        if code in _FRAMES:
            coefficients.frame(code, content)
        if code == _SCAN:
            found.scans += 1
            coefficients.scan(content)
            following = _NEXT_MARKER.search(data, content_end)
            end = following.start() if following else len(data)
        elif 0xE0 <= code <= 0xEF:
            found.segments.append((code, content))
        found.parts.append(view[at - 2 : end])
        at = end
        if found.scans > MOST_SCANS:
            break
    found.covered = coefficients.covered()
    return found


class _Coefficients:
    """The coefficients of each component that the scans contain, and to which bit."""

    def __init__(self) -> None:
        self._progressive = False
        self._missing: dict[int, list[int]] = {}

    def frame(self, marker: int, content: bytes) -> None:
        """Read the header of the image: its components."""
        self._progressive = marker in _PROGRESSIVE
        self._missing = {content[at]: [1] * 64 for at in range(6, len(content) - 2, 3)}

    def scan(self, content: bytes) -> None:
        """Read the header of a scan: components, first and last coefficient, and lowest bit."""
        count = content[0] if content else 0
        tail: Sequence[int] = content[1 + 2 * count : 4 + 2 * count]
        if len(tail) < 3:
            return
        first, last, low_bit = (tail[0], tail[1], tail[2] & 15) if self._progressive else (0, 63, 0)
        for component in content[1 : 1 + 2 * count : 2]:
            if component in self._missing and first <= last < 64:
                self._missing[component][first : last + 1] = [low_bit] * (last + 1 - first)

    def covered(self) -> bool:
        """Whether no coefficient is missing."""
        return not any(any(each) for each in self._missing.values())
