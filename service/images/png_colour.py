"""Colours of a PNG without an ICC profile: cICP, sRGB, gAMA and cHRM, in this order.

Source: PNG specification, third edition, 4.3.
"""

import struct
from collections.abc import Mapping

from service.images.icc import (
    BT601_525,
    BT601_625,
    BT709,
    BT709_CURVE,
    BT2020,
    DISPLAY_P3,
    SRGB_CURVE,
    Curve,
    Primaries,
    grey_profile,
    rgb_profile,
)

_PRIMARIES: Mapping[int, Primaries] = {1: BT709, 5: BT601_625, 6: BT601_525, 7: BT601_525, 9: BT2020, 12: DISPLAY_P3}
_CURVES: Mapping[int, Curve] = {
    1: BT709_CURVE,
    4: (2.2,),
    5: (2.8,),
    6: BT709_CURVE,
    8: (1.0,),
    13: SRGB_CURVE,
    14: BT709_CURVE,
    15: BT709_CURVE,
}
"""Code points of ITU-T H.273. PQ (16) and HLG (18) encode HDR and are not converted."""

_SRGB_GAMMA = 45_455
_NEAR = 0.05
_SAME_XY = 0.002


def profile_of(chunks: Mapping[bytes, bytes], grey: bool) -> bytes | None:
    """Make an ICC profile from the colour chunks; None for sRGB, and if there is no usable chunk.

    chunks: content by name. grey: whether the image has one channel.
    """
    if len(cicp := chunks.get(b"cICP", b"")) == 4:
        primaries, curve = _PRIMARIES.get(cicp[0]), _CURVES.get(cicp[1])
        if primaries and curve and cicp[2:] == b"\0\1":
            return _profile(primaries, curve, grey)
    if b"sRGB" in chunks:
        return None
    curve = _gamma(chunks.get(b"gAMA", b"")) or SRGB_CURVE
    return _profile(_primaries(chunks.get(b"cHRM", b"")) or BT709, curve, grey)


def _gamma(content: bytes) -> Curve | None:
    """Return the curve; None for one close to sRGB's, and for an invalid value."""
    (gamma,) = struct.unpack(">I", content) if len(content) == 4 else (0,)
    if not 1_000 <= gamma <= 1_000_000 or abs(gamma / _SRGB_GAMMA - 1) < _NEAR:
        return None
    return (100_000 / gamma,)


def _primaries(content: bytes) -> Primaries | None:
    if len(content) != 32:
        return None
    values = [each / 100_000 for each in struct.unpack(">8I", content)]
    pairs = [(values[at], values[at + 1]) for at in range(0, 8, 2)]
    return Primaries(*pairs)


def _profile(primaries: Primaries, curve: Curve, grey: bool) -> bytes | None:
    if grey:
        return None if curve == SRGB_CURVE else grey_profile(curve)
    if curve == SRGB_CURVE and _same(primaries, BT709):
        return None
    try:
        return rgb_profile(primaries, curve)
    except ValueError:
        return None


def _same(one: Primaries, other: Primaries) -> bool:
    pairs = zip(vars(one).values(), vars(other).values(), strict=True)
    return all(abs(a - b) <= _SAME_XY for first, second in pairs for a, b in zip(first, second, strict=True))
