"""A checkpoint as the service knows it: on offer, by its card alone, or loaded."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from nets.architecture import ARCHITECTURES, Facts, Task
from nets.checkpoint import Card, CheckpointError, load, peek
from nets.trunk import FOLDER as TRUNKS_FOLDER

TASKS: tuple[Task, ...] = ("stylize", "upscale")

Stamp = tuple[int, int, int, int]
"""Modification time in nanoseconds, bytes and inode, and a number that changes with the trunks."""


@dataclass(frozen=True)
class File:
    """A checkpoint file where the service looks for them. `name` is "stylize/mosaic.safetensors"."""

    task: Task
    path: Path
    stamp: Stamp

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{self.task}/{self.path.name}"

    @property
    def key(self) -> str:
        """The model that it should hold: "stylize/mosaic"."""
        return f"{self.task}/{self.path.stem}"


@dataclass(frozen=True)
class Offer:
    """A model that is served, whether or not its weights are loaded now. `version` is "sha256:..." of its file."""

    file: File
    card: Card
    facts: Facts
    version: str

    @property
    def key(self) -> str:
        """What it is called: "stylize/mosaic"."""
        return self.file.key

    @property
    def identity(self) -> str:
        """What a response says made it: "stylize/mosaic@sha256:..."."""
        return f"{self.key}@{self.version}"


@dataclass(frozen=True)
class Model:
    """A network that can be run. `key` is "stylize/mosaic"; `version` is "sha256:..." of its file.

    parents: of a network that was blended from others, what those were: "stylize/mosaic@sha256:...". Its `key` then
    comes from what clients ask for, and must not become a metric's label.
    """

    key: str
    card: Card
    facts: Facts
    net: nn.Module
    version: str
    load_seconds: float
    parents: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """What metrics and costs call it: a blended network costs what its parents do."""
        return self.parents[0].partition("@")[0] if self.parents else self.key

    @property
    def sources(self) -> tuple[str, ...]:
        """The files that it was made of, as `Offer.identity` has them."""
        return self.parents or (f"{self.key}@{self.version}",)

    @property
    def size_bytes(self) -> int:
        """Bytes of its weights."""
        return sum(weight.nbytes for weight in self.net.state_dict().values())


def scan(folder: Path) -> Iterator[File]:
    """List the files `folder`/{stylize,upscale}/*.safetensors, in order. Raises OSError where `folder` is unreadable.

    The stamp of a style changes with the trunks as well, since the style may have been refused for want of its trunk.
    """
    present = {path.name for path in folder.iterdir()}
    trunks = _trunks_stamp(folder)
    for task in TASKS:
        if task not in present:
            continue
        for path in sorted((folder / task).glob("*.safetensors")):
            try:
                status = path.stat()
            except FileNotFoundError:  # gone since it was listed
                continue
            if not path.name.startswith("."):  # a writer's temporary file
                shared = trunks if task == "stylize" else 0
                yield File(task, path, (status.st_mtime_ns, status.st_size, status.st_ino, shared))


def _trunks_stamp(folder: Path) -> int:
    """A number that changes when a trunk comes, changes or goes; 0 where there is none."""
    stamp = 0
    for path in (folder / TRUNKS_FOLDER).glob("*.safetensors"):
        with contextlib.suppress(FileNotFoundError):  # gone since it was listed
            status = path.stat()
            stamp += status.st_mtime_ns + status.st_ino
    return stamp


def read_offer(file: File) -> Offer:
    """Read a file's card alone. Raises CheckpointError where the card says that it cannot be served."""
    card, version = peek(file.path)
    return Offer(file, card, _facts(file, card), version)


def read_model(file: File) -> tuple[Offer, Model]:
    """Read, verify and build. Raises CheckpointError."""
    start = time.perf_counter()
    checkpoint = load(file.path)
    card, facts = checkpoint.card, _facts(file, checkpoint.card)
    seconds = time.perf_counter() - start
    model = Model(file.key, card, facts, checkpoint.net, checkpoint.version, seconds)
    return Offer(file, card, facts, checkpoint.version), model


def _facts(file: File, card: Card) -> Facts:
    """What the card says of its network. Raises CheckpointError where file and card do not fit together."""
    if (card.task, card.name) != (file.task, file.path.stem):
        reason = f"is {card.task}/{card.name} by its card, {file.key} by its place"
        raise CheckpointError(file.path, reason)
    architecture = ARCHITECTURES[card.architecture]
    facts = architecture.facts(architecture.parse_config(card.config))
    plain = f"x{facts.scale}"
    if file.task == "upscale" and card.name != plain and not card.name.startswith(f"{plain}_"):
        reason = f"enlarges by {facts.scale}, so its name must be {plain} or {plain}_something"
        raise CheckpointError(file.path, reason)
    return facts
