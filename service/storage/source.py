"""Where checkpoints come from: a prefix of object storage, a repository of the Hugging Face Hub, or an OCI artefact."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Listed:
    """A file of a source. name: relative, with slashes. stamp: differs if the content does."""

    name: str
    size: int
    stamp: str


class Source(Protocol):
    """Files to copy. pinned: they never change, so that a complete copy needs no connection."""

    pinned: bool

    async def list(self) -> list[Listed]:
        """Return all files. Raises StorageError and OSError."""

    async def copy_to(self, file: Listed, path: Path) -> None:
        """Copy a file under a temporary name, verify it, and rename it. Raises StorageError and OSError."""
