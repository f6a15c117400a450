"""The registry of models: which are served, and their loading. A bad checkpoint is refused; the others are served."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Literal

from nets.architecture import Task
from nets.checkpoint import CheckpointError
from service.errors import StartupError, UnavailableError
from service.models.folder import CheckpointFolder
from service.models.interpolation import Mixture, blend, blend_key
from service.models.manifest import Manifest, manifest_from_settings
from service.models.mirror import Mirror, mirror_from_settings
from service.models.model import CheckpointFile, FileStamp, Model
from service.models.served import ServedModels
from service.models.weights_cache import WeightsCache
from service.observability.metrics import Metrics
from service.settings import Settings

log = logging.getLogger(__name__)

Loading = Literal["eager", "lazy"]
WarmUp = Callable[[Model], Awaitable[None]]


class Registry(ServedModels):
    """The models in the folder of checkpoints. Its methods must be called on the event loop.

    A new file replaces an old one only after it was read, verified and warmed up. Requests in flight keep the old
    weights. A bad file is refused, and the old model stays.
    """

    def __init__(
        self,
        folder: Path,
        loading: Loading = "eager",
        max_bytes: int = 0,
        manifest: Manifest | None = None,
        learned: Path | None = None,
        mirror: Mirror | None = None,
    ) -> None:
        """loading: load weights at the start, or at the first request. max_bytes: of all weights; 0 for no limit.

        manifest: lists the files that may be served; None allows all files. learned: folder of learned styles.
        mirror: fills the folder.
        """
        super().__init__({})
        self.refused: dict[str, str] = {}
        self.loaded = WeightsCache(max_bytes, pinned=lambda key: f"{key}.safetensors" in self.refused)
        self._folder, self._loading = CheckpointFolder(folder, manifest, learned), loading
        self._mirror = mirror
        self._stamps: dict[str, FileStamp] = {}
        self._loads: dict[str, asyncio.Task[Model]] = {}
        self._reloading = asyncio.Lock()
        self._warm_up: WarmUp | None = None
        self._metrics: Metrics | None = None

    @property
    def models(self) -> dict[str, Model]:
        """The loaded models by key, without blends."""
        return {model.key: model for model in self.loaded}

    def read(self) -> None:
        """Read all files before the service starts. Raises StartupError if none can be used."""
        if self._mirror is not None:
            asyncio.run(self._mirror.start())
        try:
            files = self._folder.files()
        except OSError as error:
            raise StartupError(f"IMPASTO_CHECKPOINTS={self._folder.path}: no such folder ({error.strerror})") from error
        for file in files:
            self._stamps[file.name] = file.stamp
            try:
                if self._loading == "eager":
                    self.entries[file.key], model = self._folder.read_model(file)
                    self.loaded.add(model)
                else:
                    self.entries[file.key] = self._folder.read_entry(file)
            except CheckpointError as error:
                self._refuse(file, error)
        self._require_models()

    async def start(self, warm_up: WarmUp, metrics: Metrics) -> None:
        """Warm up the loaded models and refuse those that fail. Raises StartupError if none is left."""
        self._warm_up, self._metrics = warm_up, metrics
        for model in list(self.loaded):
            file = self.entries[model.key].file
            try:
                await self._run_warm_up(file, model)
            except CheckpointError as error:
                self._remove(model.key)
                self._refuse(file, error)
        self._require_models()
        self._update_metrics()

    async def get(self, task: Task, name: str, parameter: str) -> Model:
        """Return a model and load it first if necessary. Raises UnknownModelError like `find`."""
        key = self.find(task, name, parameter).key
        model = self.loaded.get(key)
        if model is not None:
            return model
        try:
            return await self._single_flight(key, lambda: self._load(self.entries[key].file))
        except CheckpointError as error:
            self._remove(key)
            self.find(task, name, parameter)
            raise AssertionError(key) from error  # `find` raises for a model that was removed

    async def get_blend(self, mixture: Mixture, parameter: str) -> Model:
        """Return the average of networks and make it first if necessary. Raises UnknownModelError like `find`."""
        key = blend_key([entry.identity for entry in mixture.entries], mixture.shares)
        if (known := self.loaded.get(key)) is not None:
            return known
        models = [await self.get(entry.card.task, entry.card.name, parameter) for entry in mixture.entries]
        if len(models) == 1:
            return models[0]
        return await self._single_flight(key, lambda: self._blend(models, mixture.shares))

    async def reload(self) -> dict[str, list[str]]:
        """Apply the changes in the folder. Returns the names of the files: "taken", "refused" and "removed"."""
        async with self._reloading:
            changes: dict[str, list[str]] = {"taken": [], "refused": [], "removed": []}
            if self._mirror is not None:
                await self._mirror.try_update()
            try:
                files = {file.name: file for file in await asyncio.to_thread(self._folder.files)}
            except OSError:  # an unmounted volume: keep serving the loaded models
                log.exception("the folder of checkpoints cannot be read; the served models stay")
                return changes
            if self._folder.manifest_changed():
                for name in self.refused:  # try these files again
                    self._stamps.pop(name, None)
            for name in [name for name in self._stamps if name not in files]:
                del self._stamps[name]
                self.refused.pop(name, None)
                changes["removed"].append(name)
                self._remove(name.removesuffix(".safetensors"))
            for file in files.values():
                if self._stamps.get(file.name) != file.stamp:
                    changes["taken" if await self._replace(file) else "refused"].append(file.name)
            self._update_metrics()
            if any(changes.values()):
                log.info("checkpoints changed", extra=changes)
            return changes

    async def watch(self, seconds: float) -> None:
        """Reload at an interval until cancelled."""
        while True:
            await asyncio.sleep(seconds)
            try:
                await self.reload()
            except Exception:
                log.exception("the reload of the checkpoints failed")

    def is_learned(self, key: str) -> bool:
        """Return whether a model that is served was learned from a painting that a client sent."""
        return self._folder.is_learned(self.entries[key].file)

    def summary(self, caller: str) -> dict[str, Any]:
        """Return the body of GET /models for the holder of a key."""
        models = [
            {
                "model": entry.key,
                "task": entry.card.task,
                "name": entry.card.name,
                "version": entry.version,
                "scale": entry.facts.scale,
                "loaded": entry.key in self.loaded,
                "learned": self.is_learned(entry.key),
                "private": entry.is_private,
            }
            for _, entry in sorted(self.seen_by(caller).entries.items())
        ]
        return {"models": models, "refused": [{"file": file, "reason": why} for file, why in self.refused.items()]}

    async def _replace(self, file: CheckpointFile) -> bool:
        """Serve a new or changed file. Returns whether it can be used."""
        self._stamps[file.name] = file.stamp
        try:
            if self._loading == "eager" or file.key in self.loaded:
                await self._load(file)
            else:
                self.entries[file.key] = await asyncio.to_thread(self._folder.read_entry, file)
        except CheckpointError:
            return False
        except UnavailableError:  # the service is shutting down or has lost its device: not the fault of the file
            del self._stamps[file.name]
            return False
        self.refused.pop(file.name, None)
        return True

    async def _load(self, file: CheckpointFile) -> Model:
        try:
            entry, model = await asyncio.to_thread(self._folder.read_model, file)
            await self._run_warm_up(file, model)
        except CheckpointError as error:
            self._refuse(file, error)
            raise
        self.entries[file.key] = entry
        self._add(model)
        return model

    async def _single_flight(self, key: str, make: Callable[[], Coroutine[Any, Any, Model]]) -> Model:
        """Run `make` once for all concurrent requests of a key."""
        if key not in self._loads:
            load = self._loads[key] = asyncio.create_task(make())
            load.add_done_callback(lambda _: self._loads.pop(key, None))
            # retrieves the exception: asyncio would log it if all waiting clients have disconnected
            load.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(self._loads[key])  # a client that disconnects does not cancel it for the others

    async def _blend(self, models: list[Model], shares: Sequence[float]) -> Model:
        model = await asyncio.to_thread(blend, models, shares)
        self._add(model)
        return model

    def _add(self, model: Model) -> None:
        for key in self.loaded.add(model):
            log.info("model unloaded to stay within the memory limit", extra={"model": key})
            if self._metrics is not None:
                self._metrics.model_evictions.inc()
        self._update_metrics()

    async def _run_warm_up(self, file: CheckpointFile, model: Model) -> None:
        assert self._warm_up is not None
        try:
            await self._warm_up(model)
        except UnavailableError:
            raise
        except Exception as error:
            raise CheckpointError(file.path, f"failed its warm-up: {error}") from error

    def _remove(self, key: str) -> None:
        self.entries.pop(key, None)
        self.loaded.remove(key)

    def _refuse(self, file: CheckpointFile, error: CheckpointError) -> None:
        self.refused[file.name] = error.reason
        log.error("checkpoint refused", extra={"file": file.name, "reason": error.reason})

    def _require_models(self) -> None:
        if not self.entries:
            reasons = "; ".join(f"{file}: {reason}" for file, reason in self.refused.items())
            raise StartupError(
                f"IMPASTO_CHECKPOINTS={self._folder.path}: no usable checkpoint in stylize/ or upscale/"
                + (f" ({reasons})" if reasons else "")
            )

    def _update_metrics(self) -> None:
        if self._metrics is not None:
            self._metrics.describe_models(
                versions={entry.key: entry.version for entry in self.entries.values()},
                load_seconds={model.key: model.load_seconds for model in self.loaded},
                blends=len(self.loaded.blends),
                weights_bytes=self.loaded.size_bytes,
                refused=len(self.refused),
            )


def load_registry(
    folder: Path,
    loading: Loading = "eager",
    max_bytes: int = 0,
    manifest: Manifest | None = None,
    learned: Path | None = None,
    mirror: Mirror | None = None,
) -> Registry:
    """Make a registry and read `folder`/{stylize,upscale}/*.safetensors. Raises StartupError if no file can be used."""
    registry = Registry(folder, loading, max_bytes, manifest, learned, mirror)
    registry.read()
    return registry


def registry_from_settings(settings: Settings) -> Registry:
    """Make the registry that the settings describe. Raises StartupError."""
    return load_registry(
        settings.checkpoints,
        settings.loading,
        settings.max_model_bytes,
        manifest_from_settings(settings),
        settings.learned,
        mirror_from_settings(settings),
    )
