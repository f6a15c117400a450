"""The parameters of /stylize and /upscale, declared once. No network is looked up here.

The HTTP routes, the Open Inference Protocol and the OpenAPI document read these models. The command line, the Python
client and the page repeat what they need; tests/service/pipeline/test_declarations.py compares them with the models.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from service.errors import ParameterError, expectation, shown
from service.images.formats import LOSSLESS, Format
from service.images.types import MetadataPolicy, ProfilePolicy

MOST_STYLES = 4
LARGEST_STROKE = 8.0
LARGEST_FACTOR = 8.0

_STYLES_EXPECTED = f"a style, or up to {MOST_STYLES} with weights: mosaic:0.7,wave:0.3"
_STROKE_EXPECTED = f"auto, off, or a number from 1 to {LARGEST_STROKE:g}"
_FACTOR_EXPECTED = f"max, or a number from 1 to {LARGEST_FACTOR:g}"
_STYLE_DESCRIPTION = "A style from GET /models, or up to four with weights."
_STYLE_SCHEMA = {"type": "string", "description": _STYLE_DESCRIPTION}
_STROKE_SCHEMA = {
    "anyOf": [
        {"type": "string", "enum": ["auto", "off"]},
        {"type": "number", "minimum": 1, "maximum": LARGEST_STROKE},
    ]
}
_FACTOR_SCHEMA = {
    "anyOf": [
        {"type": "number", "minimum": 1, "maximum": LARGEST_FACTOR},
        {"type": "string", "enum": ["max"]},
    ]
}
_ALIASES = {"jpg": "jpeg"}
"""Common names of formats that are accepted, and not documented as values."""

_UNEXPECTED = "unexpected_value"

Model = TypeVar("Model", bound=BaseModel)


def parse_styles(text: object) -> Mapping[str, float]:
    """Read "mosaic", "mosaic,wave" or "mosaic:0.7,wave:0.3": shares by name. The shares sum to 1.

    A missing weight is 1. Each weight is divided by the sum of all. A style of weight 0 stays, so that its name is
    checked. Raises PydanticCustomError.
    """
    styles: dict[str, float] = {}
    for part in str(text).split(","):
        before, colon, after = part.rpartition(":")
        name, weight = (before.strip(), after) if colon else (part.strip(), "1")
        if colon and not name:
            raise _unexpected("a style has no name", _STYLES_EXPECTED)
        if name in styles:
            raise _unexpected(f"{shown(name)!r} is named twice", _STYLES_EXPECTED)
        styles[name] = _weight(weight)
    if len(styles) > MOST_STYLES:
        raise _unexpected(f"{len(styles)} styles", _STYLES_EXPECTED)
    total = sum(styles.values())
    if total <= 0:
        raise _unexpected("the weights sum to 0", _STYLES_EXPECTED)
    return {name: weight / total for name, weight in styles.items()}


def parse_stroke(value: object) -> float | Literal["auto"]:
    """Read "auto", "off" (which is 1.0), or a number from 1 to LARGEST_STROKE. Raises PydanticCustomError."""
    if value == "auto":
        return "auto"
    stroke = 1.0 if value == "off" else _number(value)
    if not 1 <= stroke <= LARGEST_STROKE:
        raise _unexpected("", _STROKE_EXPECTED)
    return stroke


def parse_factor(value: object) -> float | Literal["max"]:
    """Read "max", or a number from 1 to LARGEST_FACTOR. Raises PydanticCustomError."""
    if value == "max":
        return "max"
    factor = _number(value)
    if not 1 <= factor <= LARGEST_FACTOR:
        raise _unexpected("", _FACTOR_EXPECTED)
    return factor


Styles = Annotated[Mapping[str, float], PlainValidator(parse_styles), WithJsonSchema(_STYLE_SCHEMA)]
Stroke = Annotated[float | Literal["auto"], PlainValidator(parse_stroke), WithJsonSchema(_STROKE_SCHEMA)]
Factor = Annotated[float | Literal["max"], PlainValidator(parse_factor), WithJsonSchema(_FACTOR_SCHEMA)]


OutputFormat = Annotated[Format, BeforeValidator(lambda value: _ALIASES.get(value, value))]


class _Parameters(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Stylize(_Parameters):
    style: Styles = Field(description=_STYLE_DESCRIPTION)
    strength: float = Field(
        1.0, ge=0, le=1, allow_inf_nan=False, description="0 returns the photograph, 1 the full style."
    )
    preserve_color: bool = Field(
        False, description="Keep the colours of the photograph; only the luminance is painted."
    )
    stroke: Stroke = Field(
        "auto",
        description="Enlarge brush strokes by this factor. auto: by the size of the image. off: not at all.",
    )
    max_side: int | None = Field(
        None, ge=16, le=100_000, description="Maximum length of the longer side of the output, in pixels."
    )


class _Upscale(_Parameters):
    factor: Factor = Field(
        description="Any number from 1 to the largest factor that GET /models lists. max: the largest whose output is "
        "within the limits.",
        examples=[4, 2.5],
    )
    detail: float = Field(
        0.0, ge=0, le=1, allow_inf_nan=False, description="0: faithful to the pixels. 1: sharper to the eye."
    )
    source: Literal["auto", "photo", "clean"] = Field(
        "auto",
        description="photo: JPEG blocks and noise are removed. clean: they are kept. "
        "auto: decided by the image; clean if detail is above 0.",
    )

    @field_validator("source")
    @classmethod
    def _faithful(cls, source: str, info: ValidationInfo) -> str:
        """Refuse `source=photo` together with `detail`: there is one network for photographs."""
        detail = info.data.get("detail", 0.0)
        if source == "photo" and detail:
            raise _unexpected(f"detail is {detail:g}", "detail=0, or source=clean")
        return source


class _Output(_Parameters):
    """The parameters that both endpoints have."""

    deadline_ms: int | None = Field(
        None,
        ge=1,
        le=3_600_000,
        description="Deadline in milliseconds. If the result cannot be ready in time, the response is 504 at once.",
    )
    format: OutputFormat | None = Field(
        None, description="Output format. Default: by Accept, otherwise the format of the input."
    )
    quality: int | None = Field(
        None,
        ge=1,
        le=100,
        description="Quality of a JPEG, WebP or AVIF output; 100 is the best. PNG and GIF have none.",
    )
    lossless: bool | None = Field(
        None,
        description="true: a PNG, WebP or TIFF without loss. false: a WebP with loss. Default: a WebP like the input.",
    )
    profile: ProfilePolicy = Field(
        "keep", description="keep: the colour profile of the input. srgb: converted to sRGB and tagged."
    )
    metadata: MetadataPolicy = Field(
        "strip", description="keep: EXIF, XMP and comments, as far as the output format holds them."
    )

    @field_validator("lossless")
    @classmethod
    def _format_can(cls, lossless: bool | None, info: ValidationInfo) -> bool | None:
        """Refuse `lossless=true` for a format that always loses something."""
        kind = info.data.get("format")
        if lossless and kind not in {None, *LOSSLESS}:
            raise _unexpected(f"format {kind!r} always has loss", f"format {', '.join(sorted(LOSSLESS))}, or none")
        return lossless


# The fields of the last base come first in the OpenAPI document.
class StylizeParameters(_Output, _Stylize):
    """All parameters of POST /stylize. `style` maps names to shares that sum to 1; `stroke` is "auto" or a factor."""


class UpscaleParameters(_Output, _Upscale):
    """All parameters of POST /upscale."""


Parameters = StylizeParameters | UpscaleParameters


def parse_parameters(model: type[Model], given: Mapping[str, Any], known: Iterable[str] = ()) -> Model:
    """Build a model of `given`. Raises ParameterError. known: the names that an error lists; default: all fields."""
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        names = known or model.model_fields
        raise parameter_error(error.errors(include_url=False), names) from error


def parameter_error(errors: Iterable[ErrorDetails], known: Iterable[str]) -> ParameterError:
    """Build the error for what pydantic found wrong. An unknown name goes first, because it may be a misspelling.

    known: the names that the operation has.
    """
    first = min(errors, key=lambda each: each["type"] != "extra_forbidden")
    *where, last = first["loc"]
    kind, name = f"{where[0]} parameter" if where else "parameter", shown(last)
    if first["type"] == "missing":
        expected = "one value; GET /models lists what is served"
        return ParameterError(f"{kind} {name!r} is missing", parameter=name, value=None, expected=expected)
    value = shown(first["input"])
    if first["type"] == "extra_forbidden":
        names = sorted(known)
        detail = f"{kind} {name!r} is unknown; known: {', '.join(names)}"
        return ParameterError(detail, parameter=name, value=value, expected=names)
    if first["type"] == _UNEXPECTED:
        why, expected = first["ctx"]["why"], first["ctx"]["expected"]
        detail = f"{kind} {name!r} is {value!r}{': ' if why else ''}{why}; expected {expected}"
        return ParameterError(detail, parameter=name, value=value, expected=expected)
    expected = expectation(first["msg"])
    detail = f"{kind} {name!r} is {value!r}; expected {expected}"
    return ParameterError(detail, parameter=name, value=value, expected=expected)


def _number(value: object) -> float:
    """The value as a number; NaN where it is none."""
    try:
        return float(value)  # type: ignore[arg-type]  # other types raise TypeError
    except (TypeError, ValueError):
        return math.nan


def _weight(text: str) -> float:
    weight = _number(text)
    if not 0 <= weight <= 1e6:
        raise _unexpected(f"{shown(text)!r} is not a weight from 0 up", _STYLES_EXPECTED)
    return weight


def _unexpected(why: str, expected: str) -> PydanticCustomError:
    return PydanticCustomError(_UNEXPECTED, "{why}; expected {expected}", {"why": why, "expected": expected})
