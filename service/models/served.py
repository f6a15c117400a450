"""The models that are served, by name."""

from nets.architecture import Task
from service.errors import UnknownModelError, shown
from service.models.model import ModelEntry


class ServedModels:
    """The entries of models by key, such as "stylize/mosaic"."""

    def __init__(self, entries: dict[str, ModelEntry]) -> None:
        self.entries = entries

    def seen_by(self, caller: str) -> "ServedModels":
        """Return the models that the holder of a key may see: all except the private styles of others."""
        return ServedModels({key: entry for key, entry in self.entries.items() if entry.is_visible_to(caller)})

    def find(self, task: Task, name: str, parameter: str) -> ModelEntry:
        """Return the entry of a model. Raises UnknownModelError, which lists the served models.

        parameter: the query parameter that named the model, for the error.
        """
        prefix = "x" if parameter == "factor" else ""  # a client that sends factor=3 does not know the name "x3"
        entry = self.entries.get(f"{task}/{name}")
        if entry is None:
            served = self.factors() if prefix else self.names(task)
            value = shown(name.removeprefix(prefix))
            raise UnknownModelError(
                f"{parameter} {value!r} is not served; served: {', '.join(served) or 'none'}",
                parameter=parameter,
                value=value,
                expected=served,
            )
        return entry

    def names(self, task: Task) -> list[str]:
        """Return the names of the models of a task, sorted: styles, or "x4", "x4_perceptual"."""
        return sorted(entry.card.name for entry in self.entries.values() if entry.card.task == task)

    def factors(self) -> list[str]:
        """Return the values that `?factor=` accepts: "2", "4"."""
        return [name.removeprefix("x") for name in self.names("upscale") if name.removeprefix("x").isdigit()]
