"""Checkpoints from elsewhere: copied into the local folder that the registry reads and watches.

A copy appears under its name only when it is complete. The registry verifies it as any other file. Files that the
source does not list any more are removed; files that were never copied stay.
"""

import json
import logging
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path

from service.errors import StartupError
from service.settings import PREFIX, Settings
from service.storage.location import StorageError
from service.storage.open_source import open_source
from service.storage.source import Listed, Source

log = logging.getLogger(__name__)

_INDEX = ".copied.json"
_NAME = re.compile(r"(?:stylize|trunks|upscale)/[A-Za-z0-9_-][A-Za-z0-9._-]*\.safetensors|SHA256SUMS(?:\.sig)?")
_SETTING = f"{PREFIX}CHECKPOINT_SOURCE"
_EXTRAS = {"hf": ("huggingface_hub", "hf")}


@dataclass
class _Index:
    """What was copied. files: the stamp of each by name. complete: all that the source listed was copied."""

    source: str
    complete: bool = False
    files: dict[str, str] = field(default_factory=dict)


class Mirror:
    """The copy of a source in a folder. Its index notes what was copied."""

    def __init__(self, name: str, source: Source, folder: Path) -> None:
        """name: the URL of the source. The copy of another source is not served in its place."""
        self._name, self._source, self._folder = name, source, folder

    async def start(self) -> None:
        """Copy what is new. Raises StartupError if that fails and no complete copy of this source is here."""
        try:
            await self.update()
        except (StorageError, OSError) as error:
            index = self._read_index()
            if index.source != self._name or not index.complete:
                raise StartupError(f"{_SETTING}={self._name}: {error}") from error
            log.warning("the copy of the checkpoints is served as it is", extra={"error": str(error)})

    async def update(self) -> None:
        """Copy what is new or changed, and remove what is gone. Raises StorageError and OSError; the rest stays."""
        index = self._read_index()
        if self._source.pinned and self._is_complete(index):
            return
        listed = {each.name: each for each in await self._source.list() if _NAME.fullmatch(each.name)}
        if not any(name.endswith(".safetensors") for name in listed):
            raise StorageError("there are no checkpoints; expected stylize/*.safetensors or upscale/*.safetensors")
        if index.source != self._name:
            index = _Index(self._name, files=dict.fromkeys(index.files, ""))
        for name, found in sorted(listed.items()):
            if index.files.get(name) != found.stamp or not (self._folder / name).exists():
                await self._copy(found)
                index.files[name] = found.stamp
                self._write_index(index)
        for name in index.files.keys() - listed.keys():
            (self._folder / name).unlink(missing_ok=True)
            del index.files[name]
            self._write_index(index)
        if not index.complete:
            index.complete = True
            self._write_index(index)

    async def try_update(self) -> None:
        """Copy as `update` does. If the source does not respond, everything stays as it was."""
        try:
            await self.update()
        except (StorageError, OSError) as error:
            log.error("the checkpoints stay as they were copied", extra={"error": str(error)})

    async def _copy(self, found: Listed) -> None:
        path = self._folder / found.name
        path.parent.mkdir(parents=True, exist_ok=True)
        await self._source.copy_to(found, path)
        log.info("checkpoint copied", extra={"file": found.name, "bytes": found.size})

    def _is_complete(self, index: _Index) -> bool:
        there = all((self._folder / name).exists() for name in index.files)
        return index.source == self._name and index.complete and there

    def _read_index(self) -> _Index:
        try:
            index = _Index(**json.loads((self._folder / _INDEX).read_text()))
            index.files = {name: str(stamp) for name, stamp in index.files.items() if _NAME.fullmatch(name)}
        except (OSError, ValueError, TypeError, AttributeError):
            return _Index("")
        return index

    def _write_index(self, index: _Index) -> None:
        part = self._folder / f"{_INDEX}.part"
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(asdict(index)))
        part.replace(self._folder / _INDEX)


def mirror_from_settings(settings: Settings) -> Mirror | None:
    """Return what copies checkpoints, if the settings name a source. Raises StartupError."""
    url = settings.checkpoint_source
    if not url:
        return None
    try:
        source = open_source(url, settings.checkpoints, _NAME)
    except ImportError as error:
        package, extra = _EXTRAS.get(url.partition("://")[0], ("obstore", "storage"))
        raise StartupError(f"{_SETTING}: needs the package {package}: pip install 'impasto[{extra}]'") from error
    except StorageError as error:
        raise StartupError(f"{_SETTING}={url}: {error}") from error
    return Mirror(url, source, settings.checkpoints)
