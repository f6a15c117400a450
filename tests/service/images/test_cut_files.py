"""Files of every kind whose end is missing or whose bytes are damaged: shown whole, or refused as broken."""

import io

import numpy as np
import pytest
import tifffile

from service.errors import BrokenImageError
from service.images.decode import decode, measure
from service.images.types import DecodeOptions
from tests.corpus import PNG_START, corpus

FILES = corpus()
CHECKED = [name for name in FILES if name.startswith("png") or "deflate" in name or "predictor" in name]
"""Files with checksums."""


def shown(data: bytes) -> list[np.ndarray]:
    header = measure(data, 10**6, 100)
    (frame,) = decode(data, header, DecodeOptions("png", enlarging=True)).frames
    return [frame.pixels] if frame.alpha is None else [frame.pixels, frame.alpha]


def same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return len(one) == len(other) and all(map(np.array_equal, one, other))


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_cut_is_shown_whole_or_refused_as_broken(name):
    data = FILES[name].data
    whole, details = shown(data), []
    for missing in sorted({1, 2, 3, 8, 12, 13, 40, *(len(data) * tenths // 10 for tenths in (1, 3, 5, 7))}):
        try:
            assert same(shown(data[:-missing]), whole), missing
        except BrokenImageError as error:
            details.append(error.detail)
    assert "\n" not in "".join(details)  # libheif's errors end with one


def samples_of(data: bytes) -> tuple[int, int]:
    """The start and the end of the compressed samples: of a PNG, or of the first strip or tile of a TIFF."""
    if data.startswith(PNG_START):
        start = data.index(b"IDAT") + 4
        return start, start + int.from_bytes(data[start - 8 : start - 4], "big")
    page = tifffile.TiffFile(io.BytesIO(data)).pages[0]
    return page.dataoffsets[0], page.dataoffsets[0] + page.databytecounts[0]


def refused(name: str, count: int) -> int:
    """Change one bit of the samples `count` times, and return how often the file is refused as broken."""
    data, dice, refusals = FILES[name].data, np.random.default_rng(0), 0
    for at in dice.integers(*samples_of(data), count):
        damaged = bytearray(data)
        damaged[at] ^= 1 << int(dice.integers(8))
        try:
            shown(bytes(damaged))
        except BrokenImageError:
            refusals += 1
    return refusals


@pytest.mark.parametrize("name", CHECKED)
def test_damage_below_a_checksum_is_refused(name):
    assert refused(name, 12) == 12


@pytest.mark.parametrize("name", ["tiff group3", "tiff group4"])
def test_damage_that_libtiff_only_warns_of_is_refused(name):
    assert refused(name, 40) >= 25  # the other changes are valid codes
