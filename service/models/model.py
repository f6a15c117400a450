"""The types of a model: its checkpoint file, its entry in the registry, and the loaded network."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from nets.architecture import Facts, Task
from nets.checkpoint import Card

TASKS: tuple[Task, ...] = ("stylize", "upscale")

FileStamp = tuple[int, int, int, int]
"""Modification time in nanoseconds, size in bytes, inode, and a number that changes with the trunks.

It changes whenever the file is replaced. A style's stamp changes with the trunks as well, because the style may have
been refused for lack of its trunk.
"""


@dataclass(frozen=True)
class CheckpointFile:
    """A checkpoint file in the folder of checkpoints."""

    task: Task
    path: Path
    stamp: FileStamp

    @property
    def size_bytes(self) -> int:
        """The size of the file, without that of a trunk."""
        return self.stamp[1]

    @property
    def name(self) -> str:
        """The name in messages: "stylize/mosaic.safetensors"."""
        return f"{self.task}/{self.path.name}"

    @property
    def key(self) -> str:
        """The key of the model that the file must hold: "stylize/mosaic"."""
        return f"{self.task}/{self.path.stem}"


@dataclass(frozen=True)
class ModelEntry:
    """A model that is served, whether its weights are loaded or not. `version` is "sha256:..." of its file."""

    file: CheckpointFile
    card: Card
    facts: Facts
    version: str

    @property
    def key(self) -> str:
        """The key of the model: "stylize/mosaic"."""
        return self.file.key

    @property
    def identity(self) -> str:
        """Key and version, as responses report them: "stylize/mosaic@sha256:..."."""
        return f"{self.key}@{self.version}"

    def describe(self) -> dict[str, Any]:
        """Return the card with what this service knows of the file, as `GET /models/{task}/{name}` shows it."""
        known = {"model": self.key, "version": self.version, "bytes": self.file.size_bytes, "facts": asdict(self.facts)}
        return {**known, **asdict(self.card)}

    @property
    def owner(self) -> str:
        """The name of the key that sent the painting of a learned style; "" for any other model."""
        return str(self.card.training.get("owner", ""))

    @property
    def is_private(self) -> bool:
        """Whether only its owner may see and use the model."""
        return bool(self.card.training.get("private"))

    def is_visible_to(self, caller: str) -> bool:
        """Return whether the holder of a key may see and use the model."""
        return not self.is_private or self.owner == caller


@dataclass(frozen=True)
class Model:
    """A loaded network. `key` is "stylize/mosaic"; `version` is "sha256:..." of its file.

    parents: the identities of the networks that a blend was made from, else empty. The key of a blend depends on the
    request, so it must not become the label of a metric.
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
        """The key for metrics and the cost model. A blend has the label, and the cost, of its first parent."""
        return self.parents[0].partition("@")[0] if self.parents else self.key

    @property
    def sources(self) -> tuple[str, ...]:
        """The identities of the checkpoints that the network was made from."""
        return self.parents or (f"{self.key}@{self.version}",)

    def may_share_pass(self, other: "Model") -> bool:
        """Return whether one forward pass can compute pictures of both: one network, or styles of one trunk."""
        return self is other or (self.card.trunk is not None and self.card.trunk == other.card.trunk)

    @property
    def size_bytes(self) -> int:
        """The size of the weights in bytes."""
        return sum(weight.nbytes for weight in self.net.state_dict().values())
