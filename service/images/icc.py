"""ICC profiles made from a few numbers, for files that describe their colours without one. Source: ICC.1:2022."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_D50 = (0.9642, 1.0, 0.8249)
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])

Curve = tuple[float, ...]
"""A parametric curve of ICC: (gamma,), or (gamma, a, b, c, d): (a x + b)^gamma from d on, c x below."""

SRGB_CURVE: Curve = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
BT709_CURVE: Curve = (1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)


@dataclass(frozen=True)
class Primaries:
    """Chromaticities (x, y) of white, red, green and blue."""

    white: tuple[float, float]
    red: tuple[float, float]
    green: tuple[float, float]
    blue: tuple[float, float]


_D65 = (0.3127, 0.3290)
BT709 = Primaries(_D65, (0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
BT601_625 = Primaries(_D65, (0.64, 0.33), (0.29, 0.60), (0.15, 0.06))
BT601_525 = Primaries(_D65, (0.630, 0.340), (0.310, 0.595), (0.155, 0.070))
BT2020 = Primaries(_D65, (0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
DISPLAY_P3 = Primaries(_D65, (0.680, 0.320), (0.265, 0.690), (0.150, 0.060))


def grey_profile(curve: Curve) -> bytes:
    """Make a profile for one channel."""
    return _profile(b"GRAY", {b"kTRC": _curve(curve)})


def rgb_profile(primaries: Primaries, curve: Curve) -> bytes:
    """Make a profile for three channels. Raises ValueError for primaries that do not span a plane."""
    columns = _to_d50(primaries)
    tags = {name: b"XYZ " + bytes(4) + _fixed(column) for name, column in zip(_COLORANTS, columns.T, strict=True)}
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), _curve(curve))
    return _profile(b"RGB ", tags)


_COLORANTS = (b"rXYZ", b"gXYZ", b"bXYZ")


def _to_d50(primaries: Primaries) -> NDArray[np.float64]:
    """Return the columns X, Y, Z of red, green and blue, adapted to D50 by Bradford's transform."""
    try:
        xyz = np.array([_xyz(*each) for each in (primaries.red, primaries.green, primaries.blue)]).T
        white = np.array(_xyz(*primaries.white))
        columns = xyz * np.linalg.solve(xyz, white)
        gains = (_BRADFORD @ np.array(_D50)) / (_BRADFORD @ white)
        adapted: NDArray[np.float64] = np.linalg.solve(_BRADFORD, gains[:, None] * (_BRADFORD @ columns))
    except (np.linalg.LinAlgError, ZeroDivisionError) as error:
        raise ValueError(f"{primaries} are no primaries") from error
    if not np.isfinite(adapted).all() or np.abs(adapted).max() > 100:
        raise ValueError(f"{primaries} are no primaries")
    return adapted


def _xyz(x: float, y: float) -> tuple[float, float, float]:
    return x / y, 1.0, (1 - x - y) / y


def _fixed(values: Sequence[float] | NDArray[np.float64]) -> bytes:
    return b"".join(struct.pack(">i", round(float(value) * 65536)) for value in values)


def _curve(curve: Curve) -> bytes:
    return b"para" + bytes(4) + struct.pack(">HH", 0 if len(curve) == 1 else 3, 0) + _fixed(curve)


def _text(text: str) -> bytes:
    packed = text.encode("utf-16-be")
    return b"mluc" + bytes(4) + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(packed), 28) + packed


def _profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    tags = {b"desc": _text("from the file's own numbers"), b"cprt": _text("CC0"), **tags}
    tags[b"wtpt"] = b"XYZ " + bytes(4) + _fixed(_D50)
    table, body, start = b"", b"", 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    head = struct.pack(
        ">I4sI4s4s4s12s4s", start + len(body), bytes(4), 0x04300000, b"mntr", space, b"XYZ ", bytes(12), b"acsp"
    )
    return head + bytes(28) + _fixed(_D50) + bytes(48) + struct.pack(">I", len(tags)) + table + body
