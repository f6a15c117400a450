"""`learn`: a worker that learns the paintings in a queue, which a service fills."""

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer

from nets.checkpoint import CheckpointError
from nets.spool import MOST_ATTEMPTS, Painting, Spool
from trainer.commands.fit import new_style
from trainer.commands.options import FAMILY, FamilyConfig, OptionalData, Trunk, Vgg16, styles_of
from trainer.commands.preview import Preview
from trainer.config import FamilyRecipe, read_recipe
from trainer.errors import TrainerError
from trainer.recipes.style_fit import FitProgress
from trainer.recipes.style_learning import LearningOrder, StyleLearner

_STYLE_PX = 512
_POLL_SECONDS = 0.5
_NOTE_SECONDS = 0.5
_ANNOUNCE_SECONDS = 10.0
_FULL_SECONDS = 5.0


class _CancelledError(Exception):
    """The request for a style was withdrawn."""


class _TerminatedError(BaseException):
    """SIGTERM has come: the painting goes back into the queue, and its state is kept."""


def learn(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of the queue; receives the styles.")],
    checkpoints: Annotated[Path, typer.Option("--checkpoints", help="Model repository with the trunk.")] = Path(
        "checkpoints"
    ),
    trunk: Trunk = "atelier",
    config: FamilyConfig = FAMILY,
    data: OptionalData = None,
    idle_seconds: Annotated[
        float | None, typer.Option("--idle", min=0, help="End after so many seconds without a painting.")
    ] = None,
    check: Annotated[bool, typer.Option("--check/--no-check", help="Publish only styles without a fault.")] = True,
    vgg16: Vgg16 = None,
) -> None:
    """Learn the paintings in the queue of a service, one after the other, as styles of a trunk.

    Several workers may share a queue, on one volume. A painting whose worker dies is taken over by another.
    """
    _, styles = styles_of(checkpoints, trunk)
    learner = StyleLearner(checkpoints, trunk, read_recipe(config, FamilyRecipe).loss, styles, vgg16)
    worker = _Worker(Spool(folder), learner, data or [], check)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        worker.run(idle_seconds)
    except _TerminatedError:
        sys.exit(128 + signal.SIGTERM)


class _Worker:
    """Takes paintings from a queue and learns them."""

    def __init__(self, spool: Spool, learner: StyleLearner, photographs: list[Path], check: bool) -> None:
        self._spool, self._learner, self._photographs, self._check = spool, learner, photographs, check

    def run(self, idle_seconds: float | None) -> None:
        """Learn paintings until none has come for so many seconds; None: for ever."""
        threading.Thread(target=self._announce, daemon=True).start()
        idle_since = time.monotonic()
        while True:
            if self.learn_next():
                idle_since = time.monotonic()
            elif idle_seconds is not None and time.monotonic() - idle_since >= idle_seconds:
                return
            else:
                time.sleep(_POLL_SECONDS)

    def _announce(self) -> None:
        """Tell the services, as long as this process lives, that there is a trainer."""
        while True:
            with suppress(OSError):  # a full disk: the painting fails with that reason
                self._spool.announce_trainer()
            time.sleep(_ANNOUNCE_SECONDS)

    def learn_next(self) -> bool:
        """Learn the next painting that no other worker has. Returns whether there was one."""
        for painting in self._spool:
            if painting.cancelled:
                with painting.locked() as mine:
                    if mine:
                        self._spool.forget(painting)
        for painting in self._spool.waiting():
            with painting.locked() as mine:
                if mine and painting.folder.exists():
                    return self._learn_if_stored(painting)
        return False

    def _learn_if_stored(self, painting: Painting) -> bool:
        """Learn a painting. Returns whether its end is on the disk; otherwise it waits until there is room."""
        try:
            self._learn(painting)
        except OSError as error:
            for file in (painting.training_state, painting.preview):
                file.unlink(missing_ok=True)  # room for the note
            try:
                painting.note(state="failed", reason=error.strerror or str(error), seconds_left=None)
            except OSError:
                typer.echo(f"{painting.request.name}: {error}", err=True)
                time.sleep(_FULL_SECONDS)
                return False
        return True

    def _learn(self, painting: Painting) -> None:
        """Learn a painting, or note why it cannot be learned. Raises OSError."""
        attempts = painting.status.attempts + 1
        if attempts > MOST_ATTEMPTS:
            reason = f"the trainer ended {MOST_ATTEMPTS} times while it learned this painting"
            painting.note(state="failed", reason=reason, seconds_left=None)
            return
        painting.note(state="learning", attempts=attempts)
        request = painting.request
        try:
            with _returned_if_terminated(painting, attempts):
                style = new_style(request.name, painting.image, _STYLE_PX, request.license, request.source)
                state = painting.training_state
                facts = {"owner": request.owner, "private": request.private}
                order = LearningOrder(
                    style, painting.image, request.minutes, self._photographs, state, self._check, facts
                )
                path, _ = self._learner.learn(order, self._spool.folder, _Reporter(painting))
                if painting.cancelled:  # since the last iteration
                    path.unlink(missing_ok=True)
        except _CancelledError:
            self._spool.forget(painting)
        except (TrainerError, CheckpointError) as error:
            reason = str(error).replace(str(painting.image), "the painting")
            painting.note(state="failed", reason=reason, seconds_left=None)
        else:
            self._spool.forget(painting)


class _Reporter:
    """Writes progress and previews into the folder of a painting. Raises _CancelledError once it was withdrawn."""

    def __init__(self, painting: Painting) -> None:
        self._painting = painting
        self._preview = Preview(painting.preview, painting.status.previews)
        self._due = 0.0

    def __call__(self, progress: FitProgress) -> None:
        if time.monotonic() < self._due:
            return
        if self._painting.cancelled:
            raise _CancelledError
        self._preview.update(progress.net)
        left = (1 - progress.share) * 60 * self._painting.request.minutes
        self._painting.note(
            share=round(progress.share, 4),
            seconds_left=round(left, 1),
            objective=round(progress.objective, 4),
            previews=self._preview.count,
        )
        self._due = time.monotonic() + _NOTE_SECONDS


@contextmanager
def _returned_if_terminated(painting: Painting, attempts: int) -> Iterator[None]:
    try:
        yield
    except (_TerminatedError, KeyboardInterrupt):
        painting.note(state="queued", attempts=attempts - 1)
        raise


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    raise _TerminatedError
