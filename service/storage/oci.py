"""Checkpoints as an OCI artefact, in the layouts of `oras push` and of KitOps.

A layer with a title is a file, unless it is marked as a packed folder. All other layers are archives whose members have
the names of checkpoints.
"""

import asyncio
import json
import re
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.errors import shown
from service.storage.location import StorageError
from service.storage.oci_registry import Reference, Repository
from service.storage.source import Listed

_TITLE, _UNPACK = "org.opencontainers.image.title", "io.deis.oras.content.unpack"
_PACKED = "application/vnd.oci.image.layer.v1.tar+gzip"
_DIGEST = re.compile("sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class _Layer:
    digest: str
    size_bytes: int
    title: str | None
    """None: an archive."""


class ArtefactSource:
    """The files of an artefact. Archives are unpacked below `folder`, where later calls find them."""

    def __init__(self, reference: Reference, folder: Path, wanted: re.Pattern[str]) -> None:
        """wanted: matches the members of archives that are unpacked."""
        self.pinned = reference.pinned
        self._repository, self._unpacked, self._wanted = Repository(reference), folder / ".layers", wanted
        self._origins: dict[str, _Layer | Path] = {}

    async def list(self) -> list[Listed]:
        """Return all files of the artefact, as it is now. Raises StorageError and OSError."""
        files, origins, archives = [], dict[str, _Layer | Path](), set()
        for layer in _layers(await self._repository.manifest()):
            if layer.title is not None:
                origins[layer.title] = layer
                files.append(Listed(layer.title, layer.size_bytes, layer.digest))
                continue
            folder = await self._unpack(layer)
            archives.add(folder.name)
            for path in sorted(each for each in folder.rglob("*") if each.is_file()):
                name = path.relative_to(folder).as_posix()
                origins[name] = path
                files.append(Listed(name, path.stat().st_size, f"{layer.digest} {name}"))
        self._origins = origins
        for old in self._unpacked.iterdir() if self._unpacked.is_dir() else ():
            if old.name not in archives:
                shutil.rmtree(old, ignore_errors=True)
        return files

    async def copy_to(self, file: Listed, path: Path) -> None:
        """Copy a file; see Source. The digest of its layer was, or is, verified."""
        origin, part = self._origins[file.name], path.with_name(f".{path.name}.part")
        try:
            if isinstance(origin, Path):
                await asyncio.to_thread(shutil.copyfile, origin, part)
            else:
                await self._repository.download(origin.digest, origin.size_bytes, part)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    async def _unpack(self, layer: _Layer) -> Path:
        """Return the folder with the files of an archive. It is downloaded once."""
        folder = self._unpacked / layer.digest.partition(":")[2]
        if not folder.is_dir():
            archive, part = folder.with_suffix(".tar"), folder.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)  # of a service that was killed
            part.mkdir(parents=True)
            try:
                await self._repository.download(layer.digest, layer.size_bytes, archive)
                await asyncio.to_thread(_extract, archive, part, self._wanted)
                part.replace(folder)
            finally:
                archive.unlink(missing_ok=True)
                shutil.rmtree(part, ignore_errors=True)
        return folder


def _layers(manifest: bytes) -> list[_Layer]:
    """Read a manifest. Raises StorageError."""
    try:
        return [_layer(each) for each in json.loads(manifest)["layers"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StorageError("its manifest is not that of an artefact; expected layers with sha256 digests") from error


def _layer(given: dict[str, Any]) -> _Layer:
    digest, notes = given["digest"], given.get("annotations") or {}
    if not _DIGEST.fullmatch(digest):
        raise ValueError(digest)
    title = None if notes.get(_UNPACK) == "true" or given["mediaType"] == _PACKED else notes.get(_TITLE)
    return _Layer(digest, int(given["size"]), title if title is None else _checked(title))


def _checked(name: str) -> str:
    """Return the name of a file. Raises StorageError if it could lie outside of the folder."""
    if "\\" in name or {"", ".", ".."} & set(name.split("/")):
        raise StorageError(f"it has a file {shown(name)!r}; expected a relative path without dotted segments")
    return name


def _extract(archive: Path, folder: Path, wanted: re.Pattern[str]) -> None:
    """Unpack the files that are wanted; never links or devices. Raises StorageError and OSError."""
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                if not member.isfile():
                    continue
                name = _checked(member.name.removeprefix("./"))
                if wanted.fullmatch(name) and (content := tar.extractfile(member)) is not None:
                    path = folder / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with path.open("wb") as file:
                        shutil.copyfileobj(content, file)
    except (tarfile.TarError, EOFError) as error:
        raise StorageError(f"an archive in it cannot be read: {error}") from error
