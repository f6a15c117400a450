"""The parameters of /stylize and /upscale with their types; docs/parameters.md shows what they do."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict, get_type_hints

Format = Literal["jpeg", "png", "webp", "avif", "gif", "tiff"]
Style = str | Mapping[str, float] | Sequence[str]
"""A style of the service, or several: "mosaic:0.7,wave:0.3", {"mosaic": 0.7, "wave": 0.3}, or ["mosaic", "wave"]."""

Factor = float | Literal["max"]


class OutputParameters(TypedDict, total=False):
    """Parameters of the output. The service has a default for each."""

    format: Format
    quality: int
    lossless: bool
    profile: Literal["keep", "srgb"]
    metadata: Literal["strip", "keep"]


class StylizeParameters(OutputParameters, total=False):
    """strength: 0 to 1. stroke: "auto", "off" or 1 to 8. max_side: limit of the longer output side in pixels."""

    strength: float
    preserve_color: bool
    stroke: float | Literal["auto", "off"]
    max_side: int


class UpscaleParameters(OutputParameters, total=False):
    """detail: from 0, faithful to the pixels, to 1, sharper to the eye. source: photo removes JPEG blocks and noise."""

    detail: float
    source: Literal["auto", "photo", "clean"]


def stylize_query(style: Style, parameters: StylizeParameters) -> dict[str, str]:
    """Return the query of POST /stylize. Raises TypeError for an unknown parameter, or another kind of style."""
    return {"style": _style_text(style), **_texts(parameters, StylizeParameters)}


def upscale_query(factor: Factor, parameters: UpscaleParameters) -> dict[str, str]:
    """Return the query of POST /upscale. Raises TypeError for an unknown parameter."""
    return {"factor": _text(factor), **_texts(parameters, UpscaleParameters)}


def _style_text(style: Style) -> str:
    if isinstance(style, str):
        return style
    if isinstance(style, Mapping):
        return ",".join(f"{name}:{_text(weight)}" for name, weight in style.items())
    if isinstance(style, Sequence) and all(isinstance(name, str) for name in style):
        return ",".join(style)
    kinds = "a name, a list of names, or a mapping of names to weights"
    raise TypeError(f"the style is {style!r}; expected {kinds}")


def _texts(parameters: Mapping[str, Any], kind: type) -> dict[str, str]:
    known = get_type_hints(kind)
    for name in parameters:
        if name not in known:
            raise TypeError(f"there is no parameter {name!r}; expected one of {', '.join(known)}")
    return {name: _text(value) for name, value in parameters.items() if value is not None}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
