"""What the device does next. Knows no torch and no event loop: workers take from it, on their own threads.

Work-conserving: whoever is free takes what is there, and never waits for a batch to fill. Shorter jobs overtake longer
ones (see `Job.rank`), between windows and, where they are much smaller, in the middle of one. Windows of one model and
one size share a batch where the device gains by it, whosever they are. Before all that comes whose turn it is: of
several owners, the one whose jobs have had least of the device (see `Shares`): a flood of one delays the others little.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from nets.pixels import Picture
from nets.tiling import Window, paste
from service.engine.batch import Batch, Piece
from service.engine.fair_queue import Shares
from service.engine.task import Job, Plan
from service.errors import DeadlineError, InferenceError, ServiceError, UnavailableError
from service.models.model import Model

_MUCH_SMALLER = 4
"""Who interrupts a pass of its own owner has at most a quarter of its pixels: what is begun is 4/3 of the largest."""

_BESIDE_PIXELS = 2_000_000
"""What a companion computes, or what interrupts another owner's pass, has at most so many: it takes 350 MB."""

_ADDED = 1 / 8
"""By how much others may prolong a pass."""

_SHORT_SECONDS = 1.0
"""What a crowd waits for."""

_ALIKE = 2
"""Owners of whom one has up to so many times the other's jobs are served side by side."""


class QueueObserver(Protocol):
    """Hears what the queue does; the metrics do."""

    def queued(self, key: str, jobs: int, pixels: int) -> None:
        """`jobs` and `pixels` of model `key` entered (or, negative, left) the queue."""

    def batched(self, items: int, pixels: int) -> None:
        """A batch goes to the device."""

    def dropped(self, reason: str) -> None:
        """A job left without an answer: its caller "left", or its "deadline" passed."""


class Scheduler:
    """One queue before one or more devices. Every method may be called from any thread."""

    def __init__(
        self,
        observer: QueueObserver,
        batch_pixels: Callable[[Model], int],
        most_items: int,
        devices: int,
        lanes: int = 1,
    ) -> None:
        """batch_pixels: up to how many pixels a pass of a model gains by more windows; 0: never.

        lanes: workers of one device, companions among them, each of whom is so many times slower when all compute.
        """
        self._observer, self._batch_pixels, self._most_items = observer, batch_pixels, most_items
        self._devices, self._lanes, self._shares = devices, lanes, Shares()
        self._jobs: list[Job] = []
        self._owned: Counter[str] = Counter()
        self._changed = threading.Condition()
        self._closed = False

    def submit(self, job: Job) -> None:
        """Queue a job. Raises UnavailableError after `close`."""
        with self._changed:
            if self._closed:
                raise stopped()
            self._jobs.append(job)
            self._owned[job.owner] += 1
            self._observer.queued(job.model.label, 1, job.waiting_pixels)
            self._changed.notify_all()

    def cancel(self, job: Job) -> None:
        """Its caller has left: nothing more of it is begun, and what is begun stops at the next band."""
        with self._changed:
            if not job.over:
                self._observer.dropped("client_left")
                self._end(job)

    def take(self, instead_of: Batch | None = None, beside: bool = False) -> Batch | None:
        """What to compute next: waits until there is something; None: there will be nothing more.

        instead_of: do not wait; only what may interrupt that batch. beside: as a companion of another worker, only
        what is small, and only where something is left for that one.
        """
        with self._changed:
            while True:
                batch = self._next(instead_of, beside)
                if batch is not None or instead_of is not None:
                    return batch
                if self._closed and not self._jobs:
                    return None
                self._changed.wait()

    def give_way(self, batch: Batch, paused: AbstractContextManager[None]) -> None:
        """A companion's pause in a batch: wait, `paused`, while the device has something of who asks for much less."""
        owner = batch.pieces[0].job.owner
        with self._changed:
            if batch.wanted and not self._alike(owner):
                with paused:
                    self._changed.wait_for(lambda: not batch.wanted or self._alike(owner))

    def done(self, batch: Batch, answers: Sequence[Picture | Exception], seconds: float) -> None:
        """Take in a pass's answers, one per piece."""
        with self._changed:  # a job that is begun again meanwhile has another canvas
            canvases = [piece.job.answer if piece.wanted else None for piece in batch.pieces]
        for piece, answer, canvas in zip(batch.pieces, answers, canvases, strict=True):
            if canvas is not None and piece.window is not None and not isinstance(answer, Exception):
                paste(answer, piece.window, batch.model.facts.scale, canvas)  # not under the lock: it may be megabytes
        with self._changed:
            for piece, answer in zip(batch.pieces, answers, strict=True):
                if piece.wanted:
                    if len(piece.plan.windows) == 1 and not isinstance(answer, Exception):
                        piece.job.answer = answer
                    self._count_down(piece.job, answer if isinstance(answer, Exception) else None, seconds)
            self._changed.notify_all()

    def reduced(self, piece: Piece, statistics: object, seconds: float) -> None:
        """Take in the statistics of a reduced pass."""
        with self._changed:
            if piece.wanted:
                piece.job.statistics = statistics
                self._count_down(piece.job, None, seconds)
            self._changed.notify_all()

    def again(self, piece: Piece, plan: Plan | Exception) -> None:
        """Begin a piece's job again by a new plan; an error instead ends it."""
        with self._changed:
            if not piece.wanted:
                return
            if isinstance(plan, Exception):
                self._end(piece.job, plan)
            else:
                self._observer.queued(piece.job.model.label, 0, plan.pixels - piece.job.waiting_pixels)
                piece.job.restart(plan)
            self._changed.notify_all()

    def fail_all(self, error: ServiceError) -> None:
        """End every job, and take no more."""
        with self._changed:
            self._closed = True
            for job in list(self._jobs):
                self._end(job, error)
            self._changed.notify_all()

    @property
    def idle(self) -> bool:
        """Whether nothing waits or is computed."""
        return not self._jobs

    def close(self) -> None:
        """Take no more jobs; workers finish those that are there."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def seconds_before(self, rank: float | None = None) -> float:
        """Predicted seconds until a job of that rank would be begun; None: until all is done."""
        with self._changed:
            ahead = [job.remaining_seconds for job in self._jobs if rank is None or job.rank <= rank]
        return sum(ahead) / self._devices

    def ahead(self, job: Job) -> int:
        """How many unfinished jobs were begun, or go before one."""
        with self._changed:
            return sum(other is not job and (other.begun is not None or other.rank < job.rank) for other in self._jobs)

    def _next(self, instead_of: Batch | None, beside: bool) -> Batch | None:
        now = time.monotonic()
        crowd = sum(bool(job.waiting) for job in self._jobs) > 1
        for job in [job for job in self._jobs if job.expired(now, self._lanes if crowd else 1)]:
            self._observer.dropped("deadline")
            self._end(job, DeadlineError("the deadline passed before the device was free"))
        startable = sorted((job for job in self._jobs if job.startable), key=self._turn)
        if instead_of is not None:
            startable = [job for job in startable if self._may_interrupt(job, instead_of)]
        elif beside:
            if sum(len(job.waiting) for job in startable) < 2:
                return None
            alike = {owner for owner in self._owned if self._alike(owner)}
            startable = [job for job in startable if job.owner in alike and _next_pixels(job) <= _BESIDE_PIXELS]
        if not startable:
            return None
        lead = self._start(startable[0], now)
        batch = Batch(lead.job.model, [lead])
        if not lead.plan.reduced:
            self._fill(batch, startable, now)
        self._observer.batched(len(batch.pieces), batch.pixels)
        return batch

    def _turn(self, job: Job) -> tuple[float, float]:
        """Who goes first: the lowest."""
        return self._shares.of(job.owner), job.rank

    def _alike(self, owner: str) -> bool:
        """Whether an owner has about as many jobs as each other one of whom something is computed.

        Side by side both would be slower, which costs a crowd nothing, and who asks for one picture half his time.
        """
        others = {job.owner for job in self._jobs if job.computing}
        return not any(self._crowds(owner, other) or self._crowds(other, owner) for other in others)

    def _crowds(self, owner: str, other: str) -> bool:
        """Whether an owner has many more jobs than another."""
        return self._owned[owner] > _ALIKE * self._owned[other]

    def _may_interrupt(self, job: Job, batch: Batch) -> bool:
        """Whether a job is much smaller than a pass, and goes before all that is in it.

        Of another owner it goes before it until it has added an eighth to the pass, and need not be smaller, but small;
        one of a crowd waits for a pass that is short.
        """
        pixels = _next_pixels(job)
        strange = all(job.owner != piece.job.owner for piece in batch.pieces)
        if pixels > (min(batch.pixels, _BESIDE_PIXELS) if strange else batch.pixels // _MUCH_SMALLER):
            return False
        if batch.seconds < _SHORT_SECONDS and any(self._crowds(job.owner, piece.job.owner) for piece in batch.pieces):
            return False
        share = self._shares.of(job.owner)
        return all(
            job.rank < piece.job.rank
            if job.owner == piece.job.owner
            else share <= self._shares.of(piece.job.owner) - piece.seconds * (1 - _ADDED)
            for piece in batch.pieces
        )

    def _fill(self, batch: Batch, startable: list[Job], now: float) -> None:
        """Add windows of the same model, size and depth, whosever they are, as far as the device gains by it."""
        size, depth = _size(batch.pieces[0].window), batch.pieces[0].job.picture.dtype
        most_items = min(self._most_items, self._batch_pixels(batch.model) // batch.pixels)
        for job in startable:
            while len(batch.pieces) < most_items and job.model is batch.model and job.startable:
                if job.plan.reduced or _size(job.waiting[0]) != size or job.picture.dtype != depth:
                    break
                batch.pieces.append(self._start(job, now))

    def _start(self, job: Job, now: float) -> Piece:
        window = job.waiting.popleft()
        self._observer.queued(job.model.label, -1 if job.begun is None else 0, -job.pixels_of(window))
        if job.begun is None:
            job.begun = now
        if job.answer is None and len(job.plan.windows) > 1:
            job.answer = job.blank_answer()
        self._shares.begin(job.owner, job.seconds_of(window))
        return Piece(job, job.plan, window)

    def _count_down(self, job: Job, error: Exception | None, seconds: float) -> None:
        job.left -= 1
        job.forward_seconds += seconds
        if error is not None:
            self._end(job, error)
        elif not job.left:
            assert job.answer is not None
            self._end(job, job.answer)

    def _end(self, job: Job, outcome: Picture | Exception | None = None) -> None:
        job.over = True
        self._jobs.remove(job)
        self._owned[job.owner] -= 1
        if not self._owned[job.owner]:
            del self._owned[job.owner]
        if not self._jobs:
            self._shares.rest()
        self._changed.notify_all()
        self._observer.queued(job.model.label, -1 if job.begun is None else 0, -job.waiting_pixels)
        job.waiting.clear()
        if isinstance(outcome, Exception) and not isinstance(outcome, ServiceError):
            outcome = InferenceError("the network failed on this picture")
        if outcome is not None:
            job.settle(outcome)


def stopped() -> UnavailableError:
    """What is said to those who come too late."""
    return UnavailableError("the service is shutting down", {"Retry-After": "5"})


def _next_pixels(job: Job) -> int:
    return job.pixels_of(job.waiting[0])


def _size(window: Window | None) -> tuple[int, int] | None:
    return None if window is None else (window.height, window.width)
