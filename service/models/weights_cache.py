"""The models whose weights are in memory, within a budget of bytes: the least recently used leave first."""

from collections.abc import Callable, Iterator

from service.models.model import Model

MOST_BLENDS = 32
"""Blended networks that are kept: there are as many as clients can think of."""


class LoadedModels:
    """By key, the least recently used first. What leaves lives on as long as a job in flight holds it.

    Blended networks leave before the others, since they are made again in milliseconds, and as soon as one of their
    parents goes or is replaced.
    """

    def __init__(self, most_bytes: int, keep: Callable[[str], bool]) -> None:
        """most_bytes: 0 for no limit. keep: whether a key must not leave, for its file cannot be read again."""
        self._most_bytes, self._keep = most_bytes, keep
        self._models: dict[str, Model] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._models

    def __iter__(self) -> Iterator[Model]:
        """Those that were read from files."""
        return iter([model for model in self._models.values() if not model.parents])

    @property
    def size_bytes(self) -> int:
        """Bytes of all the weights."""
        return sum(model.size_bytes for model in self._models.values())

    @property
    def blends(self) -> list[str]:
        """The keys of the blended ones."""
        return [key for key, model in self._models.items() if model.parents]

    def get(self, key: str) -> Model | None:
        """The model, which becomes the most recently used; None where it is not loaded."""
        model = self._models.pop(key, None)
        if model is not None:
            self._models[key] = model
        return model

    def put(self, model: Model) -> list[str]:
        """Take in a model, in the place of an older one of its key. Returns the keys that had to leave for it."""
        self.drop(model.key)
        self._models[model.key] = model
        blends, left = self.blends, []
        others = [key for key in self._models if key not in set(blends)]
        for key in [*blends, *others]:
            crowded = len(self.blends) > MOST_BLENDS or bool(self._most_bytes and self.size_bytes > self._most_bytes)
            if not crowded:
                break
            if key != model.key and not self._keep(key):
                del self._models[key]
                left.append(key)
        return left

    def drop(self, key: str) -> None:
        """Let a model go, if it is there, and what was blended from it."""
        self._models.pop(key, None)
        start = f"{key}@"
        for blend in [blend for blend in self._models.values() if any(p.startswith(start) for p in blend.parents)]:
            del self._models[blend.key]
