"""The queue of paintings to be learned: a folder that the service fills and a trainer empties.

FOLDER/queue/NAME/request.json, painting   what is asked for; the folder appears whole, by a rename
FOLDER/queue/NAME/status.json              how far it is; written by the trainer
FOLDER/queue/NAME/preview.jpg, state.pt    a photograph in the style so far, and the trainer's state
FOLDER/queue/NAME/lock                     locked (flock) by the trainer that works on it, as long as it lives
FOLDER/queue/.trainer                      touched by every trainer at an interval, as long as it lives
FOLDER/queue/NAME/cancel                   there if the request was withdrawn while a trainer worked on it
FOLDER/stylize/NAME.safetensors            the result: FOLDER is a model repository (docs/checkpoint.md)

The folder may lie on a volume that several containers share. It outlives all processes.
"""

import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from nets.files import replace_file

State = Literal["queued", "learning", "failed"]

LEAST_PAINTING_PX = 64
"""The shortest side that a painting may have."""

LONGEST_PAINTING = 4
"""How many times longer than its shorter side the longer side of a painting may be."""

MOST_ATTEMPTS = 3
"""How often a trainer may end while it works on a painting, until the painting is given up."""

_ANNOUNCED_SECONDS = 60.0
"""How long after its last sign a trainer counts as alive. The clocks of two machines may differ a little."""


@dataclass(frozen=True)
class StyleRequest:
    """A painting to be learned. minutes: the training time. owner: the name of the caller's key.

    private: whether only the owner may see and use the style. submitted: seconds since 1970. painting_sha256: of the
    painting's bytes, in hexadecimal.
    """

    name: str
    owner: str
    minutes: float
    license: str
    source: str
    painting_sha256: str
    submitted: float
    private: bool = False


@dataclass(frozen=True)
class StyleStatus:
    """How far a painting is. share: of the training time, in [0, 1]. reason: why it failed. previews: made so far."""

    state: State = "queued"
    share: float = 0.0
    seconds_left: float | None = None
    objective: float | None = None
    previews: int = 0
    attempts: int = 0
    reason: str | None = None


@dataclass(frozen=True)
class Painting:
    """A painting in the queue, by its folder."""

    folder: Path
    request: StyleRequest

    @property
    def image(self) -> Path:
        """The painting's file."""
        return self.folder / "painting"

    @property
    def preview(self) -> Path:
        """The file of the preview, which may not exist yet."""
        return self.folder / "preview.jpg"

    @property
    def training_state(self) -> Path:
        """The file of the trainer's state, which may not exist yet."""
        return self.folder / "state.pt"

    @property
    def cancelled(self) -> bool:
        """Whether the request was withdrawn."""
        return (self.folder / "cancel").exists()

    @property
    def status(self) -> StyleStatus:
        """How far it is."""
        try:
            return StyleStatus(**json.loads((self.folder / "status.json").read_text()))
        except (FileNotFoundError, NotADirectoryError):
            return StyleStatus()

    def note(self, **changes: Any) -> StyleStatus:
        """Change fields of the status. A painting that was removed meanwhile stays removed."""
        status = replace(self.status, **changes)
        with suppress(FileNotFoundError):
            replace_file(self.folder / "status.json", json.dumps(asdict(status)).encode())
        return status

    @contextmanager
    def locked(self) -> Iterator[bool]:
        """Hold the lock, which ends with the process; gives False if another process holds it."""
        try:
            descriptor = os.open(self.folder / "lock", os.O_CREAT | os.O_RDWR, 0o644)
        except FileNotFoundError:  # removed meanwhile
            yield False
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
        finally:
            os.close(descriptor)


class Spool:
    """The queue in a folder. Any process may use it at any time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._queue = folder / "queue"
        self._sign = self._queue / ".trainer"

    def announce_trainer(self) -> None:
        """Note that a trainer works on this queue. Raises OSError."""
        self._queue.mkdir(parents=True, exist_ok=True)
        self._sign.touch()

    def has_trainer(self) -> bool:
        """Return whether a trainer has announced itself in the last minute."""
        try:
            return time.time() - self._sign.stat().st_mtime < _ANNOUNCED_SECONDS
        except OSError:
            return False

    def submit(self, request: StyleRequest, painting: bytes) -> Painting:
        """Queue a painting. Raises FileExistsError if one of that name is in the queue, and OSError for a full disk."""
        self._queue.mkdir(parents=True, exist_ok=True)
        target = self._queue / request.name
        made = Path(tempfile.mkdtemp(prefix=".new-", dir=self._queue))
        try:
            made.chmod(0o755)
            (made / "painting").write_bytes(painting)
            (made / "request.json").write_text(json.dumps(asdict(request)))
            if target.exists():
                raise FileExistsError(request.name)
            made.rename(target)
        except OSError:
            shutil.rmtree(made, ignore_errors=True)
            raise
        return Painting(target, request)

    def find(self, name: str) -> Painting | None:
        """Return the painting of that name in the queue."""
        return next((painting for painting in self if painting.request.name == name), None)

    def __iter__(self) -> Iterator[Painting]:
        """The paintings in the queue, the oldest first."""
        found = []
        with suppress(FileNotFoundError, NotADirectoryError):
            for folder in self._queue.iterdir():
                if folder.name.startswith("."):
                    continue
                with suppress(FileNotFoundError):  # removed meanwhile
                    request = StyleRequest(**json.loads((folder / "request.json").read_text()))
                    found.append(Painting(folder, request))
        return iter(sorted(found, key=lambda painting: (painting.request.submitted, painting.request.name)))

    def waiting(self) -> list[Painting]:
        """Return the paintings that a trainer may begin, in their order: owners in turn, each one's oldest first."""
        by_owner: dict[str, list[Painting]] = {}
        for painting in self:
            if painting.status.state != "failed" and not painting.cancelled:
                by_owner.setdefault(painting.request.owner, []).append(painting)
        rounds = max((len(own) for own in by_owner.values()), default=0)
        return [own[i] for i in range(rounds) for own in by_owner.values() if i < len(own)]

    def remove(self, painting: Painting) -> None:
        """Take a painting out of the queue. A trainer that works on it stops at its next step."""
        with painting.locked() as free:
            if not free:
                with suppress(FileNotFoundError):
                    (painting.folder / "cancel").touch()
                return
            self.forget(painting)

    def forget(self, painting: Painting) -> None:
        """Delete the folder of a painting whose lock is held by the caller."""
        gone = painting.folder.with_name(f".gone-{painting.request.name}-{time.time_ns()}")
        with suppress(FileNotFoundError):
            painting.folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
