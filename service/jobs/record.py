"""A job as a store keeps it. Times are seconds since the epoch, on the clock of the store."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

State = Literal["queued", "running", "done", "failed", "cancelled"]
Facts = Mapping[str, Any]
"""A small JSON object."""

OVER = frozenset({"done", "failed", "cancelled"})
"""The final states."""


@dataclass(frozen=True)
class JobSpec:
    """What a job is made from.

    kind: selects the code that computes it. facts, payload: its input. cost_seconds: the predicted cost. owner: name
    of the API key that may see the job. key: the client's Idempotency-Key. fingerprint: differs between requests.
    """

    kind: str
    payload: bytes
    facts: Facts = field(default_factory=dict)
    cost_seconds: float = 0.0
    owner: str = ""
    key: str = ""
    fingerprint: str = ""


@dataclass(frozen=True)
class Outcome:
    """How a job ended. facts: of the result if it is done, the problem if it failed. may_pass: a retry may succeed."""

    state: Literal["done", "failed"]
    facts: Facts
    result: bytes = b""
    may_pass: bool = False


@dataclass(frozen=True)
class JobRecord:
    """A job without its payload and its result. attempt: how often it was started. progress: as its worker reports."""

    identity: str
    kind: str
    owner: str
    state: State
    facts: Facts
    cost_seconds: float
    accepted_at: float
    attempt: int = 0
    progress: Facts = field(default_factory=dict)
    outcome: Facts = field(default_factory=dict)
    result_bytes: int = 0


@dataclass(frozen=True)
class Lease:
    """A started job. Its attempt is the token: only the holder of the latest one may end the job."""

    job: JobRecord
    payload: bytes


@dataclass(frozen=True)
class Counts:
    """The contents of a store. oldest_seconds: how long the oldest queued job has waited."""

    queued: int
    running: int
    finished: int
    bytes: int
    oldest_seconds: float


@dataclass(frozen=True)
class Bounds:
    """The limits of a store. Waiting payloads may use half of most_bytes. result_seconds: how long a result is kept.

    lease_seconds: a worker that reports nothing for so long is dead. most_attempts: a job fails after so many starts.
    """

    most_jobs: int
    most_bytes: int
    result_seconds: float
    lease_seconds: float
    most_attempts: int
