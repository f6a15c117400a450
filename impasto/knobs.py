"""The knobs of /stylize and /upscale, typed; docs/knobs.md shows what they do."""

from collections.abc import Mapping
from typing import Any, Literal, TypedDict, get_type_hints

Format = Literal["jpeg", "png", "webp", "avif", "gif"]
Style = str | Mapping[str, float]
"""A style that the service has, or several with weights: "mosaic:0.7,wave:0.3", or {"mosaic": 0.7, "wave": 0.3}."""


class OutputKnobs(TypedDict, total=False):
    """How the answer is wanted. What is left out is as the service has it by default."""

    format: Format
    quality: int
    profile: Literal["keep", "srgb"]
    metadata: Literal["strip", "keep"]


class StylizeKnobs(OutputKnobs, total=False):
    """strength: 0 to 1. stroke: "auto", "off" or 1 to 8. max_side: the answer's longest side in pixels, at most."""

    strength: float
    preserve_color: bool
    stroke: float | Literal["auto", "off"]
    max_side: int


class UpscaleKnobs(OutputKnobs, total=False):
    """detail: from 0, faithful to the pixels, to 1, sharper to the eye."""

    detail: float


def stylize_query(style: Style, knobs: StylizeKnobs) -> dict[str, str]:
    """The query of POST /stylize. Raises TypeError for a knob that there is not."""
    if not isinstance(style, str):
        style = ",".join(f"{name}:{_text(weight)}" for name, weight in style.items())
    return {"style": style, **_texts(knobs, StylizeKnobs)}


def upscale_query(factor: float, knobs: UpscaleKnobs) -> dict[str, str]:
    """The query of POST /upscale. Raises TypeError for a knob that there is not."""
    return {"factor": _text(factor), **_texts(knobs, UpscaleKnobs)}


def _texts(knobs: Mapping[str, Any], kind: type) -> dict[str, str]:
    known = get_type_hints(kind)
    for name in knobs:
        if name not in known:
            raise TypeError(f"there is no knob {name!r}; there are {', '.join(known)}")
    return {name: _text(value) for name, value in knobs.items() if value is not None}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
