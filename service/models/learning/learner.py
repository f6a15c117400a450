"""Learns styles from paintings: takes the requests, has a trainer work on them, and serves what comes of it."""

import asyncio
import errno
import logging
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nets.spool import LEAST_PAINTING_PX, LONGEST_PAINTING, Painting, Spool, StyleRequest
from service.errors import (
    ForbiddenError,
    NoTrainerError,
    StorageFullError,
    StyleExistsError,
    TooManyStylesError,
    UnavailableError,
    UnknownModelError,
    UnsuitablePaintingError,
)
from service.models.learning.trainer_process import TrainerProcess
from service.models.model import ModelEntry
from service.models.registry import Registry
from service.observability.metrics import Metrics
from service.settings import Settings

log = logging.getLogger(__name__)

State = Literal["queued", "learning", "ready", "failed"]

Charge = Callable[[int], Awaitable[None]]
"""Receives minutes of training before a painting is queued. May raise a ServiceError."""

_POLL_SECONDS = 0.25
_RESTART_SECONDS = 5.0
_MOST_FAILURES = 3
_CANCEL_SECONDS = 5.0
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
RESERVED_NAMES = frozenset({"neutral"})
"""Names that no painting may take: `neutral` is what faint strengths mix with."""
_RETRY_AFTER_SECONDS = 60


@dataclass(frozen=True)
class LearnedStyle:
    """A style that is learned or was. The fields after `state` are of one that is being learned.

    private: for its owner only. share: of the training time, in [0, 1]. position: in the queue; 1 is next. previews:
    made so far. reason: why it failed.
    """

    name: str
    owner: str
    state: State
    private: bool = False
    share: float = 0.0
    seconds_left: float | None = None
    position: int | None = None
    previews: int = 0
    reason: str | None = None


class Learner:
    """The styles learned in one folder, which replicas may share. Use it on the event loop only."""

    def __init__(
        self,
        settings: Settings,
        folder: Path,
        registry: Registry,
        busy: Callable[[], bool],
        metrics: Metrics,
    ) -> None:
        """busy: whether requests are computed now, so that a trainer in this container has to wait."""
        self._settings, self._registry, self._busy, self._metrics = settings, registry, busy, metrics
        self._spool = Spool(folder)
        self._trainer: TrainerProcess | None = None
        if settings.trainer == "process":
            self._trainer = TrainerProcess(folder, settings.checkpoints, settings.trainer_options.split())
        self._present: set[str] = set()
        self._reloading = asyncio.Lock()

    async def submit(self, request: StyleRequest, painting: bytes, charge: Charge) -> LearnedStyle:
        """Queue a painting, PNG. The same name, owner and painting give the style that is there.

        charge: is called with the minutes before the painting is queued. Raises StyleExistsError, TooManyStylesError,
        NoTrainerError and UnsuitablePaintingError, and what `charge` raises.
        """
        known = await self._find_unless_cancelled(request.name)
        if self._is_repeated(request, known):
            return await self.find(request.name, request.owner)
        replaced = known is not None and known.request.owner == request.owner and known.status.state == "failed"
        taken = known is not None or f"stylize/{request.name}" in self._registry.entries
        if request.name in RESERVED_NAMES or (taken and not replaced):
            raise _name_taken(request.name)
        _refuse_unsuitable(painting)
        if obstacle := await asyncio.to_thread(self.obstacle):
            raise NoTrainerError(obstacle)
        if replaced and known is not None:
            await asyncio.to_thread(self._spool.remove, known)
        self._refuse_too_many(request.owner)
        await charge(math.ceil(request.minutes))
        try:
            await asyncio.to_thread(self._spool.submit, request, painting)
        except FileExistsError as error:  # another request was quicker
            raise _name_taken(request.name) from error
        except OSError as error:
            log.exception("the painting cannot be stored")
            reason = f"the painting cannot be stored: {error.strerror}"
            if error.errno in _FULL:
                raise StorageFullError(reason) from error
            raise UnavailableError(reason, {"Retry-After": str(_RETRY_AFTER_SECONDS)}) from error
        return await self.find(request.name, request.owner)

    async def find(self, name: str, caller: str) -> LearnedStyle:
        """Return a style that is learned or was. Raises UnknownModelError for any other, and a private one of others.

        caller: the name of the caller's key.
        """
        painting = await asyncio.to_thread(self._spool.find, name)
        visible = painting is not None and (painting.request.owner == caller or not painting.request.private)
        if painting is not None and visible and not painting.cancelled:
            return await asyncio.to_thread(self._describe, painting)
        await self._reload_if_changed()  # it may have left the queue because it is ready
        seen = {entry.card.name: entry for entry in self._served() if entry.is_visible_to(caller)}
        entry = seen.get(name)
        if entry is None:
            detail = f"no style named {name} was learned here"
            raise UnknownModelError(detail, parameter="name", value=name, expected=list(seen))
        return LearnedStyle(name, entry.owner, "ready", entry.is_private, 1.0)

    async def _find_unless_cancelled(self, name: str) -> Painting | None:
        """Return the painting of a name in the queue. One that was cancelled leaves at the trainer's next step."""
        until = time.monotonic() + _CANCEL_SECONDS
        while True:
            painting = await asyncio.to_thread(self._spool.find, name)
            if painting is None or not painting.cancelled or time.monotonic() > until:
                return painting
            await asyncio.sleep(_POLL_SECONDS)

    def _served(self) -> list[ModelEntry]:
        return [entry for entry in self._registry.entries.values() if self._registry.is_learned(entry.key)]

    async def preview(self, name: str) -> bytes | None:
        """Return the preview of a style that is being learned: JPEG, or None before the first."""
        painting = await asyncio.to_thread(self._spool.find, name)
        if painting is None:
            return None
        try:
            return await asyncio.to_thread(painting.preview.read_bytes)
        except FileNotFoundError:
            return None

    async def delete(self, name: str, owner: str) -> None:
        """Stop learning a style, or remove a learned one. Raises ForbiddenError for a style of another owner."""
        style = await self.find(name, owner)
        if style.owner != owner:
            raise ForbiddenError(f"the style {name} belongs to another key", parameter="name", value=name)
        painting = await asyncio.to_thread(self._spool.find, name)
        if painting is not None:
            await asyncio.to_thread(self._spool.remove, painting)
        path = self._spool.folder / "stylize" / f"{name}.safetensors"
        await asyncio.to_thread(path.unlink, missing_ok=True)
        await self._registry.reload()

    async def run(self) -> None:
        """Keep a trainer at work while paintings wait, and serve the styles that are done. Runs until cancelled."""
        next_start = 0.0
        while True:
            try:
                waiting = await asyncio.to_thread(self._spool.waiting)
                self._metrics.styles_waiting.set(len(waiting))
                await self._reload_if_changed()
                if self._trainer is not None:
                    if self._trainer.failures >= _MOST_FAILURES:
                        await asyncio.to_thread(self._give_up, waiting, self._trainer.last_error)
                        self._trainer.failures = 0
                    elif waiting and not self._trainer.running and time.monotonic() >= next_start:
                        next_start = time.monotonic() + _RESTART_SECONDS
                        await self._trainer.start()
                    self._trainer.pause(self._busy())
            except OSError:
                log.exception("the folder of learned styles cannot be used")
            await asyncio.sleep(_POLL_SECONDS)

    async def stop(self) -> None:
        """End the trainer."""
        if self._trainer is not None:
            await self._trainer.stop()

    @staticmethod
    def _give_up(paintings: list[Painting], reason: str) -> None:
        for painting in paintings:
            painting.note(state="failed", reason=f"the trainer cannot run: {reason}", seconds_left=None)

    def _describe(self, painting: Painting) -> LearnedStyle:
        status, request = painting.status, painting.request
        position = None
        if status.state == "queued":
            waiting = [other.request.name for other in self._spool.waiting()]
            position = 1 + waiting.index(request.name) if request.name in waiting else None
        left = 60 * request.minutes if status.seconds_left is None else status.seconds_left
        return LearnedStyle(
            request.name,
            request.owner,
            status.state,
            request.private,
            status.share,
            None if status.state == "failed" else left,
            position,
            status.previews,
            status.reason,
        )

    async def _reload_if_changed(self) -> None:
        async with self._reloading:  # the second caller waits until the new style is served
            present = await asyncio.to_thread(self._list_files)
            if present != self._present:
                await self._registry.reload()
                self._present = present

    def _list_files(self) -> set[str]:
        return {path.name for path in (self._spool.folder / "stylize").glob("*.safetensors")}

    def obstacle(self) -> str | None:
        """Return why no painting can be learned here, or None."""
        if not any(entry.card.trunk for entry in self._registry.entries.values()):
            return "no style that is served has a trunk, which a new style needs (docs/training.md)"
        if self._trainer is not None and (missing := self._trainer.missing()):
            return (
                f"no trainer is installed here ({', '.join(missing)}); run: pip install 'impasto[train]', "
                "or set IMPASTO_TRAINER=external and run a trainer on the folder of IMPASTO_LEARNED"
            )
        if self._trainer is None and not self._spool.has_trainer():
            return "no trainer works on the folder of IMPASTO_LEARNED; start one there: impasto-train learn FOLDER"
        return None

    def _refuse_too_many(self, owner: str) -> None:
        learned = self._served()
        count = len(learned) + len(list(self._spool))
        if count < self._settings.max_learned:
            return
        own = sorted((e for e in learned if e.owner == owner), key=lambda e: e.file.stamp[0])
        advice = f", for example {own[0].card.name}, your oldest" if own else ""
        raise TooManyStylesError(
            f"{count} styles are kept, the limit is {self._settings.max_learned}; delete one first{advice}",
            expected=f"at most {self._settings.max_learned} learned styles",
        )

    def _is_repeated(self, request: StyleRequest, known: Painting | None) -> bool:
        """Return whether the same owner has sent the same painting by this name before, and it has not failed."""
        wanted = request.owner, request.painting_sha256
        if known is not None:
            ended = known.cancelled or known.status.state == "failed"
            return wanted == (known.request.owner, known.request.painting_sha256) and not ended
        entry = self._registry.entries.get(f"stylize/{request.name}")
        if entry is None or not self._registry.is_learned(entry.key):
            return False
        training = entry.card.training
        return wanted == (training.get("owner"), training.get("style_image_sha256"))


def _name_taken(name: str) -> StyleExistsError:
    detail = f"there is a style named {name}; choose another name"
    return StyleExistsError(detail, parameter="name", value=name, expected="a name that no style has")


def _refuse_unsuitable(painting: bytes) -> None:
    """Raise UnsuitablePaintingError for a PNG that is too small or too long."""
    width, height = (int.from_bytes(painting[at : at + 4]) for at in (16, 20))
    short, long = sorted((width, height))
    if short < LEAST_PAINTING_PX or long > LONGEST_PAINTING * short:
        expected = (
            f"at least {LEAST_PAINTING_PX} pixels on each side, "
            f"and a longer side of at most {LONGEST_PAINTING} times the shorter"
        )
        detail = f"the painting has {width} x {height} pixels; expected {expected}"
        raise UnsuitablePaintingError(detail, value=f"{width}x{height}", expected=expected)
