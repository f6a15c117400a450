"""The protocol of job stores. `redis_store` implements it.

    add --> queued --start--> running --finish--> done, failed --seconds--> forgotten
               ^                 |
               +--- release, or a lease that ends: its worker died

Between owners, the owner with the least predicted seconds goes first (start-time fair queueing). Among the jobs of one
owner, the lowest *arrival + 4 x predicted cost* goes first, so that no job waits for ever.
"""

from collections.abc import Mapping
from typing import Protocol

from service.errors import IdempotencyError, OverloadedError
from service.jobs.record import Counts, Facts, JobRecord, JobSpec, Lease, Outcome

AGEING_FACTOR = 4.0
RETRY_AFTER_SECONDS = 5


class JobStore(Protocol):
    """Jobs of one service, or of all replicas of it. Every method raises UnavailableError if the store is down."""

    async def add(self, spec: JobSpec) -> tuple[JobRecord, bool]:
        """Queue a job, and return it and whether it is new: the same key and fingerprint return the same job.

        A job that was cancelled, or failed in a way that may pass, is queued again under another identity. Raises
        IdempotencyError if the key was used with another fingerprint, and OverloadedError if the store is full.
        """

    async def find(self, identity: str, owner: str) -> JobRecord | None:
        """Return an owner's job; None also for the job of another owner."""

    async def start(self, take_over: bool = True) -> Lease | None:
        """Start the next job; None if none is queued. take_over: queue jobs first whose leases have ended."""

    async def report(self, progress: Mapping[tuple[str, int], Facts]) -> set[str]:
        """Extend leases, by identity and attempt, and note the progress. Return the jobs that are no longer leased."""

    async def finish(self, identity: str, attempt: int, outcome: Outcome) -> bool:
        """End a job. Return False, and change nothing, if the lease is not the latest or the job was cancelled."""

    async def release(self, identity: str, attempt: int) -> bool:
        """Put a job back that was started and not computed. The start does not count as an attempt."""

    async def result(self, identity: str) -> bytes | None:
        """Return the result of a job that is done, and note that it was fetched."""

    async def remove(self, identity: str) -> None:
        """Cancel a job that is not over; it stays known as cancelled. Forget a job that is over."""

    async def position(self, identity: str) -> int:
        """Return the position of a queued job among those of its owner, after all that run; 1 is next."""

    async def counts(self) -> Counts:
        """Count what is in the store."""

    async def close(self) -> None:
        """Close the connections."""


def key_reused() -> IdempotencyError:
    """Build the error for a key that was used with another request."""
    return IdempotencyError(
        "this Idempotency-Key was used with another request; expected a new key",
        parameter="Idempotency-Key",
        expected="a new key for another request",
    )


def no_room(why: str) -> OverloadedError:
    """Build the error of a full store."""
    return OverloadedError(
        f"{why}; try again in {RETRY_AFTER_SECONDS} s",
        {"Retry-After": str(RETRY_AFTER_SECONDS)},
        retry_after_seconds=RETRY_AFTER_SECONDS,
    )
