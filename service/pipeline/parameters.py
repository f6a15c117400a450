"""What a client can ask of /stylize and /upscale, read from the query. No network is looked up here."""

import math
from dataclasses import dataclass

from service.errors import ParameterError, shown

MOST_STYLES = 4
LARGEST_STROKE = 8.0
LARGEST_FACTOR = 8.0

_STYLES_EXPECTED = f"a style, or up to {MOST_STYLES} with weights: mosaic:0.7,wave:0.3"
_STROKE_EXPECTED = f"auto, off, or a number from 1 to {LARGEST_STROKE:g}"


@dataclass(frozen=True)
class Stylizing:
    """Knobs of /stylize.

    styles: names and shares, which sum to 1, as asked for. strength: 0 is the photograph, 1 the style.
    stroke: how many times larger strokes are than the network's own; None: by the picture's size.
    max_side: the longest side of the answer in pixels, at most.
    """

    styles: tuple[tuple[str, float], ...]
    strength: float = 1.0
    preserve_color: bool = False
    stroke: float | None = None
    max_side: int | None = None


@dataclass(frozen=True)
class Enlarging:
    """Knobs of /upscale. factor: 1 to 8, of each side. detail: 0 is faithful to the pixels, 1 sharper to the eye."""

    factor: float
    detail: float = 0.0


Knobs = Stylizing | Enlarging


def parse_styles(text: str) -> tuple[tuple[str, float], ...]:
    """Read "mosaic", "mosaic,wave" or "mosaic:0.7,wave:0.3": names and shares that sum to 1.

    Weights are divided by their sum; without one it is 1; a style of weight 0 stays, so that its name is checked.
    Raises ParameterError.
    """
    styles: dict[str, float] = {}
    for part in text.split(","):
        before, colon, after = part.rpartition(":")
        name, weight = (before.strip(), after) if colon else (part.strip(), "1")
        if colon and not name:
            raise _wrong_styles(text, "a style has no name")
        if name in styles:
            raise _wrong_styles(text, f"{shown(name)!r} is named twice")
        styles[name] = _weight(text, weight)
    if len(styles) > MOST_STYLES:
        raise _wrong_styles(text, f"{len(styles)} styles")
    total = sum(styles.values())
    if total <= 0:
        raise _wrong_styles(text, "the weights sum to 0")
    return tuple((name, weight / total) for name, weight in styles.items())


def parse_stroke(text: str) -> float | None:
    """Read "auto" (None), "off" (1.0) or a number from 1 to LARGEST_STROKE. Raises ParameterError."""
    if text == "auto":
        return None
    if text == "off":
        return 1.0
    try:
        stroke = float(text)
    except ValueError:
        stroke = math.nan
    if not 1 <= stroke <= LARGEST_STROKE:
        detail = f"query parameter 'stroke' is {shown(text)!r}; expected {_STROKE_EXPECTED}"
        raise ParameterError(detail, parameter="stroke", value=shown(text), expected=_STROKE_EXPECTED)
    return stroke


def _weight(text: str, weight: str) -> float:
    try:
        number = float(weight)
    except ValueError:
        number = math.nan
    if not 0 <= number <= 1e6:
        raise _wrong_styles(text, f"{shown(weight)!r} is not a weight from 0 up")
    return number


def _wrong_styles(text: str, why: str) -> ParameterError:
    detail = f"query parameter 'style' is {shown(text)!r}: {why}; expected {_STYLES_EXPECTED}"
    return ParameterError(detail, parameter="style", value=shown(text), expected=_STYLES_EXPECTED)
