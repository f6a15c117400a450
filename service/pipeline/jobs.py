"""What clients know as jobs: requests that were answered with a promise, and whose answers wait to be fetched.

A ticket runs as a task of its own, a few at a time. Bounded in number, in bytes (bodies that wait, answers that are
kept) and in time; the settings say how.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from service.engine.task import Job
from service.errors import (
    AnswerTooLargeError,
    IdempotencyError,
    InternalError,
    OverloadedError,
    QuotaError,
    ServiceError,
    UnknownJobError,
)
from service.observability.metrics import Metrics
from service.pipeline.progress import Progress
from service.pipeline.request import Answer
from service.settings import Settings

log = logging.getLogger(__name__)

State = Literal["queued", "running", "done", "failed", "cancelled"]
Work = Callable[[Progress], Coroutine[Any, Any, Answer]]
"""Makes the answer, and tells how far it is. It holds the body, and goes when it is done."""

COLLECTING_SECONDS = 10.0
"""How long a stopping service waits for an answer to be fetched."""

_POLL_SECONDS = 0.05
_RETRY_AFTER_SECONDS = 5


@dataclass(frozen=True)
class Wanted:
    """A request that is to be answered later. filename, what: for the answer's Content-Disposition.

    fingerprint: tells it from other requests. key: the client's Idempotency-Key. body_bytes: what waiting costs. owner:
    the name of the API key, whose holder alone may know of it.
    """

    body_bytes: int
    fingerprint: str
    filename: str | None
    what: str
    request_id: str
    key: str | None = None
    owner: str = ""

    @property
    def known_as(self) -> tuple[str, str] | None:
        """Its Idempotency-Key, which is its owner's own."""
        return (self.owner, self.key) if self.key else None


@dataclass(eq=False)
class Ticket:
    """One promise. answer or error: once it is over. finished: on the clock of time.monotonic."""

    identity: str
    wanted: Wanted
    size_bytes: int
    progress: Progress = field(default_factory=Progress)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    task: "asyncio.Task[Answer] | None" = None
    answer: Answer | None = None
    error: ServiceError | None = None
    cancelled: bool = False
    fetched: bool = False
    finished: float = 0.0
    expiry: asyncio.TimerHandle | None = None

    @property
    def state(self) -> State:
        """Where it is; the last three are for good."""
        if self.cancelled:
            return "cancelled"
        if self.answer is not None:
            return "done"
        if self.error is not None:
            return "failed"
        return "running" if self.progress.begun else "queued"

    @property
    def spent(self) -> bool:
        """Whether nobody misses it: its answer was fetched, or there is none."""
        return self.over.is_set() and (self.fetched or self.answer is None)


class Tickets:
    """All tickets of one service, on the event loop alone."""

    def __init__(self, settings: Settings, ahead: Callable[[Job], int], metrics: Metrics) -> None:
        """ahead: how many pictures the devices will take before one."""
        self._settings, self._ahead, self._metrics = settings, ahead, metrics
        self._tickets: dict[str, Ticket] = {}
        self._by_key: dict[tuple[str, str], Ticket] = {}
        self._running = asyncio.Semaphore(settings.max_jobs_running)

    def open(self, wanted: Wanted, work: Work) -> tuple[Ticket, bool]:
        """A ticket for a request, and whether it is new: the same key and request get the same one.

        Raises IdempotencyError for a key that another request has, OverloadedError where there is no room.
        """
        known = self._by_key.get(wanted.known_as) if wanted.known_as else None
        if known is not None and known.wanted.fingerprint != wanted.fingerprint:
            raise IdempotencyError(
                "this Idempotency-Key came with another request before; expected a new key",
                parameter="Idempotency-Key",
                expected="a new key for another request",
            )
        if known is not None and (known.cancelled or (known.error is not None and _may_go_better(known.error))):
            self._drop(known)  # what may go better another time is tried again
        elif known is not None:
            return known, False
        self._make_room(wanted.body_bytes)
        ticket = Ticket(secrets.token_urlsafe(18), wanted, wanted.body_bytes)
        self._tickets[ticket.identity] = ticket
        if wanted.known_as:
            self._by_key[wanted.known_as] = ticket
        ticket.task = asyncio.create_task(self._run(ticket, work))
        ticket.task.add_done_callback(lambda task: self._end(ticket, task))
        self._tell()
        return ticket, True

    def find(self, identity: str, owner: str = "") -> Ticket:
        """An owner's ticket of that name. Raises UnknownJobError, also for another owner's."""
        ticket = self._tickets.get(identity)
        if ticket is None or ticket.wanted.owner != owner:
            kept = self._settings.job_seconds
            raise UnknownJobError(f"no such job: it never was, was deleted, or its {kept:g} s are over")
        return ticket

    async def delete(self, ticket: Ticket) -> None:
        """End its work, where there is any left: then it is known as cancelled for a while. Else forget it.

        On return it has left the devices' queue.
        """
        if ticket.over.is_set() or ticket.cancelled or ticket.task is None:
            self._drop(ticket)
        else:
            ticket.cancelled = True
            ticket.task.cancel()
            await ticket.over.wait()

    def forget(self, ticket: Ticket) -> None:
        """Its answer was given in line: nobody will ask for it."""
        self._drop(ticket)

    async def wait(self, ticket: Ticket, seconds: int | None) -> bool:
        """Until it is over, or clear that it will not be within so many seconds. Returns whether it is over.

        It is clear by the predicted cost. None: until it is known whether the picture can be taken at all.
        """
        until = time.monotonic() + (seconds or 0)
        while not ticket.over.is_set():
            ends = ticket.progress.ends
            late = seconds is None or time.monotonic() > until or (ends is not None and ends > until)
            if ticket.progress.known.is_set() and late:
                break
            try:
                await asyncio.wait_for(ticket.over.wait(), _POLL_SECONDS if seconds else 0.005)
            except TimeoutError:
                continue
        return ticket.over.is_set()

    def position(self, ticket: Ticket) -> int:
        """1: it is next."""
        if (job := ticket.progress.job) is not None:
            return 1 + self._ahead(job)
        before = list(self._tickets.values())
        return 1 + sum(not other.over.is_set() for other in before[: before.index(ticket)])

    @property
    def owing(self) -> bool:
        """Whether a service that stops still owes somebody something: work, or an answer that is just done."""
        just_now = time.monotonic() - COLLECTING_SECONDS
        return any(not each.over.is_set() or (not each.spent and each.finished > just_now) for each in self)

    async def stop(self) -> None:
        """Cancel what is left, and forget all."""
        tasks = [ticket.task for ticket in self if ticket.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for ticket in list(self):
            self._drop(ticket)

    def __iter__(self) -> Iterator[Ticket]:
        return iter(self._tickets.values())

    async def _run(self, ticket: Ticket, work: Work) -> Answer:
        if self._running.locked():
            ticket.progress.known.set()
        async with self._running:
            return await work(ticket.progress)

    def _end(self, ticket: Ticket, task: "asyncio.Task[Answer]") -> None:
        error = None if task.cancelled() else task.exception()
        ticket.size_bytes, ticket.finished = 0, time.monotonic()
        if task.cancelled():
            ticket.cancelled = True
        elif isinstance(error, ServiceError):
            ticket.error = error
        elif error is not None:
            log.error("unforeseen", exc_info=error)
            ticket.error = InternalError("an error that we did not foresee; the log has it under this request_id")
        elif not ticket.cancelled:
            self._keep(ticket, task.result())
        ticket.over.set()
        self._metrics.async_jobs_finished.labels(ticket.state).inc()
        refused = ticket.error.code if ticket.error else None
        log.info("job", extra={"state": ticket.state, "refused": refused, "bytes": ticket.size_bytes})
        if self._tickets.get(ticket.identity) is ticket:
            delay = self._settings.job_seconds
            ticket.expiry = asyncio.get_running_loop().call_later(delay, self._drop, ticket)
        self._tell()

    def _keep(self, ticket: Ticket, answer: Answer) -> None:
        size, most = len(answer.body), self._settings.max_job_bytes
        finished = sorted(
            (each for each in self if each.over.is_set()), key=lambda each: (not each.spent, each.finished)
        )
        for other in finished:
            if self._bytes + size <= most:
                break
            self._drop(other)
        if self._bytes + size > most:
            detail = f"the answer has {size} bytes, more than can be kept; ask for it without Prefer: respond-async"
            ticket.error = AnswerTooLargeError(detail, expected=f"at most {most} bytes for all jobs")
        else:
            ticket.answer, ticket.size_bytes = answer, size

    def _make_room(self, body_bytes: int) -> None:
        """Forget what nobody misses, the oldest first. Raises OverloadedError where that is not enough."""
        waiting = body_bytes + sum(ticket.size_bytes for ticket in self if not ticket.over.is_set())
        if 2 * waiting > self._settings.max_job_bytes:  # the other half is for answers
            raise _no_room(f"the jobs that wait have {waiting} bytes, half of {self._settings.max_job_bytes} may")
        for ticket in [ticket for ticket in self if ticket.spent]:
            if len(self._tickets) < self._settings.max_jobs:
                return
            self._drop(ticket)
        if len(self._tickets) >= self._settings.max_jobs:
            raise _no_room(f"{len(self._tickets)} jobs are kept, the limit is {self._settings.max_jobs}")

    @property
    def _bytes(self) -> int:
        return sum(ticket.size_bytes for ticket in self)

    def _drop(self, ticket: Ticket) -> None:
        self._tickets.pop(ticket.identity, None)
        known_as = ticket.wanted.known_as
        if known_as and self._by_key.get(known_as) is ticket:
            del self._by_key[known_as]
        if ticket.expiry is not None:
            ticket.expiry.cancel()
        self._tell()

    def _tell(self) -> None:
        states = [ticket.state for ticket in self]
        unfinished = sum(not ticket.over.is_set() for ticket in self)
        self._metrics.async_jobs.labels("unfinished").set(unfinished)
        self._metrics.async_jobs.labels("finished").set(len(states) - unfinished)
        self._metrics.async_job_bytes.set(self._bytes)


def _may_go_better(error: ServiceError) -> bool:
    return error.status >= 500 or error.status == QuotaError.status


def _no_room(why: str) -> OverloadedError:
    return OverloadedError(
        f"{why}; try again in {_RETRY_AFTER_SECONDS} s",
        {"Retry-After": str(_RETRY_AFTER_SECONDS)},
        retry_after_seconds=_RETRY_AFTER_SECONDS,
    )
