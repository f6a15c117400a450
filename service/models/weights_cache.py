"""A cache of loaded models with a budget in bytes. It evicts the least recently used model first."""

from collections.abc import Callable, Iterator

from service.models.model import Model

MAX_BLENDS = 32
"""The most blended networks in the cache. Clients can ask for any number of different ones."""


class WeightsCache:
    """Loaded models by key, the least recently used first. An evicted model lives on while a task uses it.

    Blends are evicted before models from files, because making one again takes milliseconds. A blend is also removed
    when one of its parents is removed or replaced.
    """

    def __init__(self, max_bytes: int, pinned: Callable[[str], bool]) -> None:
        """max_bytes: 0 for no limit. pinned: whether a key must stay because its file can no longer be loaded."""
        self._max_bytes, self._pinned = max_bytes, pinned
        self._models: dict[str, Model] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._models

    def __iter__(self) -> Iterator[Model]:
        """Iterate over the models from files, without blends."""
        return iter([model for model in self._models.values() if not model.parents])

    @property
    def size_bytes(self) -> int:
        """The size of all weights, in bytes."""
        return sum(model.size_bytes for model in self._models.values())

    @property
    def blends(self) -> list[str]:
        """The keys of the blends."""
        return [key for key, model in self._models.items() if model.parents]

    def get(self, key: str) -> Model | None:
        """Return a model and mark it as most recently used; None if it is not loaded."""
        model = self._models.pop(key, None)
        if model is not None:
            self._models[key] = model
        return model

    def add(self, model: Model) -> list[str]:
        """Add a model and replace an older one of its key. Returns the keys that were evicted."""
        self.remove(model.key)
        self._models[model.key] = model
        blends, evicted = self.blends, []
        others = [key for key in self._models if key not in set(blends)]
        for key in [*blends, *others]:
            over_bytes = self._max_bytes and self.size_bytes > self._max_bytes
            if not over_bytes and len(self.blends) <= MAX_BLENDS:
                break
            if key != model.key and not self._pinned(key):
                del self._models[key]
                evicted.append(key)
        return evicted

    def remove(self, key: str) -> None:
        """Remove a model, if present, and the blends that were made from it."""
        self._models.pop(key, None)
        start = f"{key}@"
        for blend in [blend for blend in self._models.values() if any(p.startswith(start) for p in blend.parents)]:
            del self._models[blend.key]
