"""The models of a folder, from the cards in its files. It does not load torch and is therefore fast."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from service.cli.backends import Operation
from service.cli.refused import RefusedError
from service.errors import ServiceError, StartupError, shown
from service.pipeline.parameters import StylizeParameters, UpscaleParameters, parse_parameters

_TASKS: tuple[Literal["stylize", "upscale"], ...] = ("stylize", "upscale")
_METADATA_KEY = "impasto"


class _CardError(Exception):
    """A file whose card cannot be read. The message says why."""


@dataclass(frozen=True)
class Entry:
    """A model. scale: the factor by which each side grows. version: "sha256:..." of its file.

    learned: whether it is a style that was learned from a painting.
    """

    task: str
    name: str
    scale: int
    version: str
    learned: bool = False

    @property
    def key(self) -> str:
        """The name with the task: "stylize/mosaic"."""
        return f"{self.task}/{self.name}"


@dataclass(frozen=True)
class Catalogue:
    """The models of a folder. refused: the reason for each file with an unreadable card, by name."""

    entries: tuple[Entry, ...]
    refused: Mapping[str, str] = field(default_factory=dict)

    @property
    def identities(self) -> frozenset[str]:
        """The models with their versions: "stylize/mosaic@sha256:..."."""
        return frozenset(f"{entry.key}@{entry.version}" for entry in self.entries)

    def names(self, task: str) -> list[str]:
        """Return the names of a task's models, sorted."""
        return sorted(entry.name for entry in self.entries if entry.task == task)

    def summary(self) -> dict[str, Any]:
        """Return the content of GET /models, without loading a model."""
        models = [
            {
                "model": entry.key,
                "task": entry.task,
                "name": entry.name,
                "version": entry.version,
                "scale": entry.scale,
                "loaded": False,
                "learned": entry.learned,
                "private": False,
            }
            for entry in sorted(self.entries, key=lambda entry: entry.key)
        ]
        return {"models": models, "refused": [{"file": file, "reason": why} for file, why in self.refused.items()]}

    def check(self, operation: Operation) -> None:
        """Raise RefusedError for an unknown style or factor, or for parameters that do not apply."""
        try:
            if operation.task == "upscale":
                given = {"factor": operation.what, **operation.parameters}
                factor = parse_parameters(UpscaleParameters, given).factor
                self._check_factor(1.0 if factor == "max" else factor)
                return
            styles = self.names("stylize")
            for name in parse_parameters(StylizeParameters, {"style": operation.what, **operation.parameters}).style:
                if name not in styles:
                    detail = f"style {shown(name)!r} is not served; served: {', '.join(styles) or 'none'}"
                    raise RefusedError("unknown_model", detail, everything=True)
        except ServiceError as error:
            raise RefusedError(error.code, error.detail, everything=True) from error

    def _check_factor(self, factor: float) -> None:
        plain = [name.removeprefix("x") for name in self.names("upscale")]
        factors = sorted(int(name) for name in plain if name.isdigit())
        if factor > max(factors, default=1):
            served = ", ".join(map(str, factors)) or "none"
            more = f", and any number from 1 to {factors[-1]}" if factors else ""
            detail = f"factor {factor:g} is not served; served: {served}{more}"
            raise RefusedError("unknown_model", detail, everything=True)


def read_catalogue(folder: Path, learned: Path | None = None) -> Catalogue:
    """Read the cards of a folder of checkpoints, and of learned styles. Raises StartupError if there is no model."""
    entries, refused = [], {}
    try:
        present = {path.name for path in folder.iterdir()}
    except OSError as error:
        raise StartupError(f"IMPASTO_CHECKPOINTS={folder}: no such folder ({error.strerror})") from error
    files = list(_files(folder, present))
    names = {path.name for task, path in files if task == "stylize"}
    files += [each for each in _files(learned, {"stylize"}) if each[1].name not in names] if learned else []
    for task, path in files:
        try:
            entries.append(replace(_read(task, path), learned=not path.is_relative_to(folder)))
        except _CardError as error:
            refused[f"{task}/{path.name}"] = str(error)
    if not entries:
        reasons = "; ".join(f"{file}: {reason}" for file, reason in refused.items())
        detail = f"IMPASTO_CHECKPOINTS={folder}: no usable checkpoint in stylize/ or upscale/"
        raise StartupError(detail + (f" ({reasons})" if reasons else ""))
    return Catalogue(tuple(entries), refused)


def _files(folder: Path, present: set[str]) -> Iterator[tuple[str, Path]]:
    for task in _TASKS:
        if task in present:
            yield from ((task, path) for path in sorted((folder / task).glob("[!.]*.safetensors")))


def _read(task: str, path: Path) -> Entry:
    try:
        data = path.read_bytes()
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        card = json.loads(header["__metadata__"][_METADATA_KEY])
        scale = card["config"]["factor"] if task == "upscale" else 1
        found = f"{card['task']}/{card['name']}"
    except OSError as error:
        raise _CardError(f"cannot be read: {error.strerror}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise _CardError("not a whole safetensors file with the card of an Impasto checkpoint") from error
    if found != f"{task}/{path.stem}":
        raise _CardError(f"is {found} by its card, {task}/{path.stem} by its place")
    return Entry(task, path.stem, scale, "sha256:" + hashlib.sha256(data).hexdigest())
