"""Checkpoints from object storage: copied into the local folder that the registry reads and watches.

A copy appears under its name only when it is complete. The registry verifies it as any other file. Files that the store
does not list any more are removed; files that were never copied stay.
"""

import json
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

from service.errors import StartupError
from service.settings import PREFIX, Settings
from service.storage.location import Location, StorageError, parse_location

if TYPE_CHECKING:  # it needs an optional extra
    from service.storage.objects import Listed, Objects

log = logging.getLogger(__name__)

_INDEX = ".copied.json"
_NAME = re.compile(r"(?:stylize|upscale)/[A-Za-z0-9_-][A-Za-z0-9._-]*\.safetensors|SHA256SUMS(?:\.sig)?")


class Mirror:
    """The copy of a prefix in a folder. Its index notes the stamp of each object that was copied."""

    def __init__(self, source: Location, folder: Path, objects: "Objects") -> None:
        self._source, self._folder, self._objects = source, folder, objects

    async def start(self) -> None:
        """Copy what is new. Raises StartupError if there is nothing to serve, neither there nor here."""
        try:
            await self.update()
        except (StorageError, OSError) as error:
            if not self._read_index():
                raise StartupError(f"{PREFIX}CHECKPOINT_SOURCE={self._source}: {error}") from error
            log.warning("the copy of the checkpoints is served as it is", extra={"error": str(error)})

    async def update(self) -> None:
        """Copy what is new or changed, and remove what is gone. Raises StorageError and OSError; the rest stays."""
        listed = {each.name: each for each in await self._objects.list(self._source) if _NAME.fullmatch(each.name)}
        if not listed:
            raise StorageError("there are no checkpoints; expected stylize/*.safetensors or upscale/*.safetensors")
        index = self._read_index()
        for name, found in sorted(listed.items()):
            if index.get(name) != found.stamp or not (self._folder / name).exists():
                await self._copy(found)
                index[name] = found.stamp
                self._write_index(index)
        for name in index.keys() - listed.keys():
            (self._folder / name).unlink(missing_ok=True)
            del index[name]
            self._write_index(index)

    async def try_update(self) -> None:
        """Copy as `update` does. If the store does not respond, everything stays as it was."""
        try:
            await self.update()
        except (StorageError, OSError) as error:
            log.error("the checkpoints stay as they were copied", extra={"error": str(error)})

    async def _copy(self, found: "Listed") -> None:
        path = self._folder / found.name
        path.parent.mkdir(parents=True, exist_ok=True)
        key = f"{self._source.key.rstrip('/')}/{found.name}".lstrip("/")
        await self._objects.copy_to(Location(self._source.root, key), path, found.size)
        log.info("checkpoint copied", extra={"file": found.name, "bytes": found.size})

    def _read_index(self) -> dict[str, str]:
        try:
            index = json.loads((self._folder / _INDEX).read_text())
        except (OSError, ValueError):
            return {}
        return {name: str(stamp) for name, stamp in index.items() if _NAME.fullmatch(name)}

    def _write_index(self, index: dict[str, str]) -> None:
        part = self._folder / f"{_INDEX}.part"
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(index))
        part.replace(self._folder / _INDEX)


def mirror_from_settings(settings: Settings) -> Mirror | None:
    """Return what copies checkpoints, if the settings name object storage. Raises StartupError."""
    if not settings.checkpoint_source:
        return None
    name = f"{PREFIX}CHECKPOINT_SOURCE"
    try:
        from service.storage.objects import Objects  # noqa: PLC0415  # needs an optional extra
    except ImportError as error:
        raise StartupError(f"{name}: needs the package obstore: pip install 'impasto[storage]'") from error
    try:
        source = parse_location(settings.checkpoint_source)
    except StorageError as error:
        raise StartupError(f"{name}={settings.checkpoint_source}: {error}") from error
    return Mirror(source, settings.checkpoints, Objects())
