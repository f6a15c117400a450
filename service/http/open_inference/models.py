"""The names and the parameters that the networks have in the Open Inference Protocol.

"stylize.mosaic", "upscale.x4", "upscale.x4_perceptual" and "upscale.x4_photo": a name is one segment of the path of a
URL.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nets.architecture import Task
from service.errors import ParameterError, UnknownModelError, shown
from service.models.model import ModelEntry
from service.models.served import ServedModels
from service.pipeline.parameters import Parameters, StylizeParameters, UpscaleParameters, parse_parameters

_VERSION_CHARACTERS = 12
_SETTING: Mapping[str, Mapping[str, Any]] = {"_perceptual": {"detail": 1.0}, "_photo": {"source": "photo"}}
"""Parameters that the end of the name of an upscaler gives."""

_NAMED = frozenset({"style", "factor", "deadline_ms"})
"""Parameters of the other endpoints that a client of this protocol gives in another way."""


@dataclass(frozen=True)
class Entry:
    """A network that is served. version: the beginning of the digest of its file."""

    name: str
    version: str
    task: Task
    model: ModelEntry


def entries(models: ServedModels) -> dict[str, Entry]:
    """List all networks that are served, by name."""
    found = {}
    for key, model in sorted(models.entries.items()):
        task, name = model.card.task, model.card.name
        plain = name.removesuffix(_ending(name))
        if task == "stylize" or plain.removeprefix("x") in models.factors():
            entry = Entry(key.replace("/", ".", 1), _short(model), task, model)
            found[entry.name] = entry
    return found


def find(models: ServedModels, name: str, version: str | None) -> Entry:
    """Return the network of that name. Raises UnknownModelError, which lists the networks that are served."""
    known = entries(models)
    entry = known.get(name)
    if entry is None:
        raise UnknownModelError(f"model {shown(name)!r} is not served; served: {', '.join(known) or 'none'}")
    if version is not None and version != entry.version:
        raise UnknownModelError(f"version {shown(version)!r} of {name} is not served; served: {entry.version}")
    return entry


def parse(entry: Entry, given: Mapping[str, Any]) -> tuple[Parameters, float | None]:
    """Read the parameters of a request to a network, and its timeout in seconds. Raises ParameterError.

    They are those of /stylize or /upscale; the name of the network gives `style` or `factor`, and `timeout`, in
    microseconds as Triton's clients send it, takes the place of `deadline_ms`.
    """
    parameters = dict(given)
    timeout = parameters.pop("timeout", None)
    declared: type[Parameters] = StylizeParameters if entry.task == "stylize" else UpscaleParameters
    known = [*(name for name in declared.model_fields if name not in _NAMED), "timeout"]
    setting = _SETTING.get(_ending(entry.model.card.name), {})
    for name in {"detail", "source"} & parameters.keys() if setting else ():
        raise ParameterError(f"parameter {name!r} is for upscale.x{entry.model.facts.scale}", parameter=name)
    for name in _NAMED & parameters.keys():
        expected = f"none: known are {', '.join(known)}"
        raise ParameterError(f"parameter {name!r} is unknown; expected {expected}", parameter=name, expected=known)
    if timeout is not None and (not isinstance(timeout, int) or isinstance(timeout, bool) or timeout < 1):
        expected = "microseconds, a whole number from 1 on"
        detail = f"parameter 'timeout' is {shown(timeout)!r}; expected {expected}"
        raise ParameterError(detail, parameter="timeout", value=shown(timeout), expected=expected)
    if entry.task == "stylize":
        parameters["style"] = entry.model.card.name
    else:
        parameters |= {"factor": entry.model.facts.scale, **setting}
    return parse_parameters(declared, parameters, known), None if timeout is None else timeout / 1e6


def _ending(name: str) -> str:
    """Return the end of an upscaler's name that gives a parameter, or ""."""
    return next((ending for ending in _SETTING if name.endswith(ending)), "")


def _short(model: ModelEntry) -> str:
    return model.version.removeprefix("sha256:")[:_VERSION_CHARACTERS]
