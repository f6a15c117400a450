"""Which models are served, and from which files. One that cannot be used is refused by name; the others serve."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Literal

from nets.architecture import Task
from nets.checkpoint import CheckpointError
from service.errors import StartupError, UnavailableError, UnknownModelError, shown
from service.models.interpolation import Mixture, blend, blend_key
from service.models.manifest import Digests, digests_of
from service.models.model import File, Model, Offer, Stamp, read_model, read_offer, scan
from service.models.weights_cache import LoadedModels
from service.observability.metrics import Metrics
from service.settings import Settings

log = logging.getLogger(__name__)

Loading = Literal["eager", "lazy"]
Warm = Callable[[Model], Awaitable[None]]


class Registry:
    """What the folder of checkpoints holds, as it changes. Used on the event loop alone.

    A new file takes an old one's place once it is read, verified and warm; requests in flight keep the old weights. A
    bad one is refused, and the old one stays.
    """

    def __init__(
        self, folder: Path, loading: Loading = "eager", max_bytes: int = 0, digests: Digests | None = None
    ) -> None:
        """digests: which files may be served; None: all."""
        self.offers: dict[str, Offer] = {}
        self.refused: dict[str, str] = {}
        self.loaded = LoadedModels(max_bytes, keep=lambda key: f"{key}.safetensors" in self.refused)
        self._folder, self._loading, self._digests = folder, loading, digests
        self._digests_stamp = digests.stamp if digests is not None else ()
        self._seen: dict[str, Stamp] = {}
        self._loads: dict[str, asyncio.Task[Model]] = {}
        self._reloading = asyncio.Lock()
        self._warm: Warm | None = None
        self._metrics: Metrics | None = None

    @property
    def models(self) -> dict[str, Model]:
        """The loaded ones, by key; not those that were blended."""
        return {model.key: model for model in self.loaded}

    def read(self) -> None:
        """Read what is there, before anything is served. Raises StartupError where not one file can be used."""
        try:
            files = list(scan(self._folder))
        except OSError as error:
            raise StartupError(f"IMPASTO_CHECKPOINTS={self._folder}: no such folder ({error.strerror})") from error
        for file in files:
            self._seen[file.name] = file.stamp
            try:
                if self._loading == "eager":
                    self.offers[file.key], model = self._read_model(file)
                    self.loaded.put(model)
                else:
                    self.offers[file.key] = self._read_offer(file)
            except CheckpointError as error:
                self._refuse(file, error)
        self.refuse_to_start_without_any()

    def refuse_to_start_without_any(self) -> None:
        """Raise StartupError where nothing is on offer."""
        if not self.offers:
            reasons = "; ".join(f"{file}: {reason}" for file, reason in self.refused.items())
            raise StartupError(
                f"IMPASTO_CHECKPOINTS={self._folder}: no usable checkpoint in stylize/ or upscale/"
                + (f" ({reasons})" if reasons else "")
            )

    async def start(self, warm: Warm, metrics: Metrics) -> None:
        """Warm up what is loaded, and refuse what fails. Raises StartupError where nothing is left."""
        self._warm, self._metrics = warm, metrics
        for model in list(self.loaded):
            file = self.offers[model.key].file
            try:
                await self._warmed(file, model)
            except CheckpointError as error:
                self._forget(model.key)
                self._refuse(file, error)
        self.refuse_to_start_without_any()
        self._tell()

    def find(self, task: Task, name: str, parameter: str) -> Offer:
        """The offer for `name`. Raises UnknownModelError, which lists what is served, for `?parameter=name`."""
        prefix = "x" if parameter == "factor" else ""  # who asks for factor=3 has never heard of "x3"
        offer = self.offers.get(f"{task}/{name}")
        if offer is None:
            served = self.factors() if prefix else self.names(task)
            value = shown(name.removeprefix(prefix))
            raise UnknownModelError(
                f"{parameter} {value!r} is not served; served: {', '.join(served) or 'none'}",
                parameter=parameter,
                value=value,
                expected=served,
            )
        return offer

    async def get(self, task: Task, name: str, parameter: str) -> Model:
        """The model for `name`, loaded first where it is not. Raises UnknownModelError as `find` does."""
        key = self.find(task, name, parameter).key
        model = self.loaded.get(key)
        if model is not None:
            return model
        try:
            return await self._once(key, lambda: self._load(self.offers[key].file))
        except CheckpointError as error:
            self._forget(key)
            self.find(task, name, parameter)
            raise AssertionError(key) from error  # a model that is forgotten cannot be found

    async def mix(self, mixture: Mixture, parameter: str) -> Model:
        """The average of networks, blended first where it is not there. Raises UnknownModelError as `find` does."""
        key = blend_key([offer.identity for offer in mixture.offers], mixture.shares)
        if (known := self.loaded.get(key)) is not None:
            return known
        models = [await self.get(offer.card.task, offer.card.name, parameter) for offer in mixture.offers]
        return models[0] if len(models) == 1 else await self._once(key, lambda: self._blend(models, mixture.shares))

    async def reload(self) -> dict[str, list[str]]:
        """Look at the folder again and take in what has changed. Returns the keys and files: what became of each."""
        async with self._reloading:
            changes: dict[str, list[str]] = {"taken": [], "refused": [], "removed": []}
            try:
                files = {file.name: file for file in await asyncio.to_thread(lambda: list(scan(self._folder)))}
            except OSError:  # an unmounted volume is no reason to stop serving
                log.exception("checkpoints cannot be looked at; what is served stays")
                return changes
            self._look_again_at_refused_ones()
            for name in [name for name in self._seen if name not in files]:
                del self._seen[name]
                self.refused.pop(name, None)
                changes["removed"].append(name)
                self._forget(name.removesuffix(".safetensors"))
            for file in files.values():
                if self._seen.get(file.name) != file.stamp:
                    changes["taken" if await self._take(file) else "refused"].append(file.name)
            self._tell()
            if any(changes.values()):
                log.info("checkpoints changed", extra=changes)
            return changes

    async def watch(self, seconds: float) -> None:
        """Reload every so many seconds, until cancelled."""
        while True:
            await asyncio.sleep(seconds)
            try:
                await self.reload()
            except Exception:
                log.exception("the checkpoints could not be looked at")

    def names(self, task: Task) -> list[str]:
        """The names under a task: styles, or "x4", "x4_perceptual"."""
        return sorted(offer.card.name for offer in self.offers.values() if offer.card.task == task)

    def factors(self) -> list[str]:
        """The factors that `?factor=` may name: "2", "4"."""
        return [name.removeprefix("x") for name in self.names("upscale") if name.removeprefix("x").isdigit()]

    def summary(self) -> dict[str, Any]:
        """What GET /models answers."""
        models = [
            {
                "model": offer.key,
                "task": offer.card.task,
                "name": offer.card.name,
                "version": offer.version,
                "scale": offer.facts.scale,
                "loaded": offer.key in self.loaded,
            }
            for _, offer in sorted(self.offers.items())
        ]
        return {"models": models, "refused": [{"file": file, "reason": why} for file, why in self.refused.items()]}

    async def _take(self, file: File) -> bool:
        """Take in a new or changed file; whether it could be used."""
        self._seen[file.name] = file.stamp
        try:
            if self._loading == "eager" or file.key in self.loaded:
                await self._load(file)
            else:
                self.offers[file.key] = await asyncio.to_thread(self._read_offer, file)
        except CheckpointError:
            return False
        except UnavailableError:  # the service stops, or has lost its device: no fault of the file's
            del self._seen[file.name]
            return False
        self.refused.pop(file.name, None)
        return True

    def _read_offer(self, file: File) -> Offer:
        expected = self._expected(file)
        offer = read_offer(file)
        Digests.refuse_version(file.path, offer.version, expected)
        return offer

    def _read_model(self, file: File) -> tuple[Offer, Model]:
        expected = self._expected(file)
        offer, model = read_model(file)
        Digests.refuse_version(file.path, offer.version, expected)
        return offer, model

    def _expected(self, file: File) -> str | None:
        """The version that a file must have; None: any. Raises CheckpointError before anything of it is parsed."""
        return None if self._digests is None else self._digests.refuse(file.path, file.name)

    def _look_again_at_refused_ones(self) -> None:
        """Where the list of digests has changed."""
        if self._digests is not None and self._digests.stamp != self._digests_stamp:
            self._digests_stamp = self._digests.stamp
            for name in self.refused:
                self._seen.pop(name, None)

    async def _load(self, file: File) -> Model:
        try:
            offer, model = await asyncio.to_thread(self._read_model, file)
            await self._warmed(file, model)
        except CheckpointError as error:
            self._refuse(file, error)
            raise
        self.offers[file.key] = offer
        self._keep(model)
        return model

    async def _once(self, key: str, make: Callable[[], Coroutine[Any, Any, Model]]) -> Model:
        """What `make` gives, made once for all who ask meanwhile."""
        if key not in self._loads:
            load = self._loads[key] = asyncio.create_task(make())
            load.add_done_callback(lambda _: self._loads.pop(key, None))
            load.add_done_callback(_read_exception)
        return await asyncio.shield(self._loads[key])  # who hangs up does not undo it for others

    async def _blend(self, models: list[Model], shares: Sequence[float]) -> Model:
        model = await asyncio.to_thread(blend, models, shares)
        self._keep(model)
        return model

    def _keep(self, model: Model) -> None:
        for key in self.loaded.put(model):
            log.info("model unloaded for want of memory", extra={"model": key})
            if self._metrics is not None:
                self._metrics.model_evictions.inc()
        self._tell()

    async def _warmed(self, file: File, model: Model) -> None:
        assert self._warm is not None
        try:
            await self._warm(model)
        except UnavailableError:
            raise
        except Exception as error:
            raise CheckpointError(file.path, f"failed its warm-up: {error}") from error

    def _forget(self, key: str) -> None:
        self.offers.pop(key, None)
        self.loaded.drop(key)

    def _refuse(self, file: File, error: CheckpointError) -> None:
        self.refused[file.name] = error.reason
        log.error("checkpoint refused", extra={"file": file.name, "reason": error.reason})

    def _tell(self) -> None:
        if self._metrics is not None:
            self._metrics.describe_models(
                versions={offer.key: offer.version for offer in self.offers.values()},
                load_seconds={model.key: model.load_seconds for model in self.loaded},
                blends=len(self.loaded.blends),
                weights_bytes=self.loaded.size_bytes,
                refused=len(self.refused),
            )


def load_registry(
    folder: Path, loading: Loading = "eager", max_bytes: int = 0, digests: Digests | None = None
) -> Registry:
    """A registry over `folder`/{stylize,upscale}/*.safetensors. Raises StartupError where none of them can be used."""
    registry = Registry(folder, loading, max_bytes, digests)
    registry.read()
    return registry


def registry_of(settings: Settings) -> Registry:
    """The registry that the settings ask for. Raises StartupError."""
    return load_registry(settings.checkpoints, settings.loading, settings.max_model_bytes, digests_of(settings))


def _read_exception(load: "asyncio.Task[Model]") -> None:
    """So that asyncio does not call it unread where everyone who waited has left."""
    if not load.cancelled():
        load.exception()
