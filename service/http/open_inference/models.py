"""The networks under the names and with the parameters that the Open Inference Protocol has for them.

"stylize.mosaic", "upscale.x4" and "upscale.x4_perceptual": a name is one segment of a URL's path.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nets.architecture import Task
from service.errors import ParameterError, UnknownModelError, shown
from service.images.formats import Format
from service.images.types import MetadataPolicy, ProfilePolicy
from service.models.model import ModelEntry
from service.models.registry import Registry
from service.pipeline.parameters import Enlarging, Stylizing, parse_stroke
from service.pipeline.request import Asked

_VERSION_CHARACTERS = 12
_PERCEPTUAL = "_perceptual"
Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class Entry:
    """A network that can be asked for. version: the beginning of its file's digest. offers: what it depends on."""

    name: str
    version: str
    task: Task
    offer: ModelEntry


class _Parameters(BaseModel):
    """What every request may have. timeout: microseconds, as Triton's clients send it."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    format: Format | None = None
    quality: int | None = Field(None, ge=1, le=100)
    profile: ProfilePolicy = "keep"
    metadata: MetadataPolicy = "strip"
    timeout: int | None = Field(None, ge=1)


class _Stylize(_Parameters):
    strength: Share = 1.0
    preserve_color: bool = False
    stroke: float | Literal["auto", "off"] = "auto"
    max_side: int | None = Field(None, ge=16, le=100_000)


class _Upscale(_Parameters):
    detail: Share = 0.0


def entries(registry: Registry) -> dict[str, Entry]:
    """Every network that can be asked for, by name."""
    found = {}
    for key, offer in sorted(registry.entries.items()):
        task, name = offer.card.task, offer.card.name
        plain = name.removesuffix(_PERCEPTUAL)
        if task == "stylize" or plain.removeprefix("x") in registry.factors():
            entry = Entry(key.replace("/", ".", 1), _short(offer), task, offer)
            found[entry.name] = entry
    return found


def find(registry: Registry, name: str, version: str | None) -> Entry:
    """The network of that name. Raises UnknownModelError, which lists what is served."""
    known = entries(registry)
    entry = known.get(name)
    if entry is None:
        raise UnknownModelError(f"model {shown(name)!r} is not served; served: {', '.join(known) or 'none'}")
    if version is not None and version != entry.version:
        raise UnknownModelError(f"version {shown(version)!r} of {name} is not served; served: {entry.version}")
    return entry


def asked_of(entry: Entry, parameters: Mapping[str, Any]) -> tuple[Asked, float | None]:
    """What a request's parameters ask of a network, and within how many seconds. Raises ParameterError."""
    kind = _Stylize if entry.task == "stylize" else _Upscale
    try:
        given: Any = kind.model_validate(dict(parameters))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        name = shown(first["loc"][0])
        expected = f"there are {', '.join(kind.model_fields)}" if first["type"] == "extra_forbidden" else first["msg"]
        raise ParameterError(f"parameter {name!r} is {shown(first['input'])!r}: {expected}", parameter=name) from error
    if entry.task == "stylize":
        stroke = parse_stroke(str(given.stroke))
        name = entry.offer.card.name
        knobs: Any = Stylizing(((name, 1.0),), given.strength, given.preserve_color, stroke, given.max_side)
    else:
        perceptual = entry.offer.card.name.endswith(_PERCEPTUAL)
        if perceptual and "detail" in parameters:
            raise ParameterError(f"parameter 'detail' is for upscale.x{entry.offer.facts.scale}", parameter="detail")
        knobs = Enlarging(float(entry.offer.facts.scale), 1.0 if perceptual else given.detail)
    asked = Asked(knobs, given.format, None, given.quality, given.profile, given.metadata)
    return asked, None if given.timeout is None else given.timeout / 1e6


def _short(offer: ModelEntry) -> str:
    return offer.version.removeprefix("sha256:")[:_VERSION_CHARACTERS]
