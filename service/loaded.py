"""The models whose weights are in memory, within a budget of bytes: the least recently used leave first."""

from collections.abc import Callable, Iterator

from service.model import Model


class LoadedModels:
    """By key, the least recently used first. What leaves lives on as long as a job in flight holds it."""

    def __init__(self, most_bytes: int, keep: Callable[[str], bool]) -> None:
        """most_bytes: 0 for no limit. keep: whether a key must not leave, for its file cannot be read again."""
        self._most_bytes, self._keep = most_bytes, keep
        self._models: dict[str, Model] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._models

    def __iter__(self) -> Iterator[Model]:
        return iter(self._models.values())

    @property
    def size_bytes(self) -> int:
        """Bytes of all the weights."""
        return sum(model.size_bytes for model in self)

    def get(self, key: str) -> Model | None:
        """The model, which becomes the most recently used; None where it is not loaded."""
        model = self._models.pop(key, None)
        if model is not None:
            self._models[key] = model
        return model

    def put(self, model: Model) -> list[str]:
        """Take in a model, in the place of an older one of its key. Returns the keys that had to leave for it."""
        self._models.pop(model.key, None)
        self._models[model.key] = model
        left: list[str] = []
        for key in list(self._models)[:-1]:
            if not self._most_bytes or self.size_bytes <= self._most_bytes:
                break
            if not self._keep(key):
                del self._models[key]
                left.append(key)
        return left

    def drop(self, key: str) -> None:
        """Let a model go, if it is there."""
        self._models.pop(key, None)
