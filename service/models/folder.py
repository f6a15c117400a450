"""Reads the folder of checkpoints: lists its files, verifies them against the manifest, and loads them."""

import contextlib
import time
from pathlib import Path

from nets.architecture import ARCHITECTURES, Facts
from nets.checkpoint import Card, CheckpointError, load, read_card
from nets.trunk import FOLDER as TRUNKS_FOLDER
from service.models.manifest import Manifest
from service.models.model import TASKS, CheckpointFile, Model, ModelEntry


class CheckpointFolder:
    """The files `path`/{stylize,upscale}/*.safetensors, and the learned styles in another folder.

    Its methods block on the disk, except `manifest_changed` and `is_learned`.
    """

    def __init__(self, path: Path, manifest: Manifest | None, learned: Path | None = None) -> None:
        """manifest: lists the files of `path` that may be served; None allows all. learned: `learned`/stylize."""
        self.path, self._manifest, self._learned = path, manifest, learned
        self._manifest_stamp = manifest.stamp if manifest is not None else ()

    def files(self) -> list[CheckpointFile]:
        """List the checkpoint files, sorted by task and name. Raises OSError if the folder cannot be read."""
        present = {path.name for path in self.path.iterdir()}
        trunks = self._trunks_stamp()
        files = []
        for task in TASKS:
            if task not in present:
                continue
            for path in sorted((self.path / task).glob("*.safetensors")):
                try:
                    status = path.stat()
                except FileNotFoundError:  # deleted since it was listed
                    continue
                if not path.name.startswith("."):  # the temporary file of a writer
                    shared = trunks if task == "stylize" else 0
                    stamp = (status.st_mtime_ns, status.st_size, status.st_ino, shared)
                    files.append(CheckpointFile(task, path, stamp))
        names = {file.name for file in files}
        return [*files, *(file for file in self._learned_files() if file.name not in names)]

    def is_learned(self, file: CheckpointFile) -> bool:
        """Return whether a file is in the folder of learned styles."""
        return self._learned is not None and file.path.is_relative_to(self._learned)

    def _learned_files(self) -> list[CheckpointFile]:
        files = []
        for path in sorted((self._learned / "stylize").glob("[!.]*.safetensors")) if self._learned else []:
            with contextlib.suppress(FileNotFoundError):  # deleted since it was listed
                status = path.stat()
                stamp = (status.st_mtime_ns, status.st_size, status.st_ino, 0)
                files.append(CheckpointFile("stylize", path, stamp))
        return files

    def read_entry(self, file: CheckpointFile) -> ModelEntry:
        """Read the card of a file only. Raises CheckpointError if the model cannot be served."""
        expected = self._verified_version(file)
        card, version = read_card(file.path)
        Manifest.check_version(file.path, version, expected)
        return ModelEntry(file, card, _check_card(file, card), version)

    def read_model(self, file: CheckpointFile) -> tuple[ModelEntry, Model]:
        """Read and verify a file, and build its network. Raises CheckpointError if the model cannot be served."""
        start = time.perf_counter()
        expected = self._verified_version(file)
        checkpoint = load(file.path)
        Manifest.check_version(file.path, checkpoint.version, expected)
        card, facts = checkpoint.card, _check_card(file, checkpoint.card)
        seconds = time.perf_counter() - start
        model = Model(file.key, card, facts, checkpoint.net, checkpoint.version, seconds)
        return ModelEntry(file, card, facts, checkpoint.version), model

    def manifest_changed(self) -> bool:
        """Return whether the manifest has changed since the last call, or since the start."""
        if self._manifest is None or self._manifest.stamp == self._manifest_stamp:
            return False
        self._manifest_stamp = self._manifest.stamp
        return True

    def _trunks_stamp(self) -> int:
        """Return a number that changes when a trunk is added, replaced or removed; 0 without trunks."""
        stamp = 0
        for path in (self.path / TRUNKS_FOLDER).glob("*.safetensors"):
            with contextlib.suppress(FileNotFoundError):  # deleted since it was listed
                status = path.stat()
                stamp += status.st_mtime_ns + status.st_ino
        return stamp

    def _verified_version(self, file: CheckpointFile) -> str | None:
        """Return the version that the manifest requires; None without a manifest.

        Raises CheckpointError, before any byte of the file is parsed, if the file does not match.
        """
        if self._manifest is None or self.is_learned(file):
            return None
        return self._manifest.verify(file.path, file.name)


def _check_card(file: CheckpointFile, card: Card) -> Facts:
    """Return the facts of the network. Raises CheckpointError if the card does not match the path of the file."""
    if (card.task, card.name) != (file.task, file.path.stem):
        reason = f"the card says {card.task}/{card.name}, the path says {file.key}"
        raise CheckpointError(file.path, reason)
    architecture = ARCHITECTURES[card.architecture]
    facts = architecture.facts(architecture.parse_config(card.config))
    plain = f"x{facts.scale}"
    if file.task == "upscale" and card.name != plain and not card.name.startswith(f"{plain}_"):
        reason = f"the network upscales by {facts.scale}; expected the name {plain} or {plain}_something"
        raise CheckpointError(file.path, reason)
    return facts
