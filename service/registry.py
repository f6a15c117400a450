"""The checkpoints on disk, as ready networks. One that cannot be used is refused by name; the others serve."""

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from nets.architecture import ARCHITECTURES, Facts, Task
from nets.checkpoint import Card, CheckpointError, load
from service.errors import StartupError, UnknownModelError, shown

log = logging.getLogger(__name__)

TASKS: tuple[Task, ...] = ("stylize", "upscale")


@dataclass(frozen=True)
class Model:
    """A network that can be served. `key` is "stylize/mosaic"; `version` is "sha256:..." of its file."""

    key: str
    card: Card
    facts: Facts
    net: nn.Module
    version: str
    load_seconds: float

    @property
    def identity(self) -> str:
        """What a response says made it: "stylize/mosaic@sha256:..."."""
        return f"{self.key}@{self.version}"


@dataclass(frozen=True)
class Registry:
    """The models by key, and the files that were refused with the reason. A worker moves the networks to its device."""

    models: dict[str, Model]
    refused: dict[str, str]

    def refuse(self, key: str, reason: str) -> None:
        """Take a model out of service."""
        del self.models[key]
        self.refused[f"{key}.safetensors"] = reason
        log.error("checkpoint refused", extra={"file": f"{key}.safetensors", "reason": reason})

    def find(self, task: Task, name: str, parameter: str) -> Model:
        """The model for `name`. Raises UnknownModelError, which lists what is served, for `?parameter=name`."""
        prefix = "x" if parameter == "factor" else ""  # who asks for factor=3 has never heard of "x3"
        model = self.models.get(f"{task}/{name}")
        if model is None:
            served = self.factors() if prefix else self.names(task)
            value = shown(name.removeprefix(prefix))
            raise UnknownModelError(
                f"{parameter} {value!r} is not served; served: {', '.join(served) or 'none'}",
                parameter=parameter,
                value=value,
                expected=served,
            )
        return model

    def names(self, task: Task) -> list[str]:
        """The names under a task: styles, or "x4", "x4_perceptual"."""
        return [model.card.name for model in self.models.values() if model.card.task == task]

    def factors(self) -> list[str]:
        """The factors that `?factor=` may name: "2", "4"."""
        return [name.removeprefix("x") for name in self.names("upscale") if name.removeprefix("x").isdigit()]

    def summary(self) -> dict[str, Any]:
        """What GET /models answers."""
        models = [
            {"model": m.key, "task": m.card.task, "name": m.card.name, "version": m.version, "scale": m.facts.scale}
            for m in self.models.values()
        ]
        return {"models": models, "refused": [{"file": file, "reason": why} for file, why in self.refused.items()]}


def load_registry(folder: Path) -> Registry:
    """Load `folder`/{stylize,upscale}/*.safetensors. Raises StartupError where not one of them can be used."""
    if not folder.is_dir():
        raise StartupError(f"IMPASTO_CHECKPOINTS={folder}: no such folder")
    models: dict[str, Model] = {}
    refused: dict[str, str] = {}
    for task in TASKS:
        for path in sorted((folder / task).glob("*.safetensors")):
            start = time.perf_counter()
            try:
                model = _load_model(task, path, start)
            except CheckpointError as error:
                refused[f"{task}/{path.name}"] = error.reason
                log.error("checkpoint refused", extra={"file": str(path), "reason": error.reason})
            else:
                models[model.key] = model
    if not models:
        reasons = "; ".join(f"{file}: {reason}" for file, reason in refused.items())
        raise StartupError(
            f"IMPASTO_CHECKPOINTS={folder}: no usable checkpoint in stylize/ or upscale/"
            + (f" ({reasons})" if reasons else "")
        )
    return Registry(models, refused)


def _load_model(task: Task, path: Path, start: float) -> Model:
    checkpoint = load(path)
    card = checkpoint.card
    if (card.task, card.name) != (task, path.stem):
        raise CheckpointError(path, f"is {card.task}/{card.name} by its card, {task}/{path.stem} by its place")
    facts = ARCHITECTURES[card.architecture].facts(checkpoint.config)
    plain = f"x{facts.scale}"
    if task == "upscale" and card.name != plain and not card.name.startswith(f"{plain}_"):
        raise CheckpointError(path, f"enlarges by {facts.scale}, so its name must be {plain} or {plain}_something")
    return Model(f"{task}/{card.name}", card, facts, checkpoint.net, checkpoint.version, time.perf_counter() - start)
