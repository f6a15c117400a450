"""A job as a store keeps it. Times are seconds since the epoch, on the clock of the store."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

State = Literal["queued", "running", "done", "failed", "cancelled"]
Facts = Mapping[str, Any]
"""A small JSON object."""

OVER = frozenset({"done", "failed", "cancelled"})
"""The final states."""


DeliveryState = Literal["pending", "delivered", "failed"]


@dataclass(frozen=True)
class Webhook:
    """Where the end of a job is announced. events: the final states that are. host: with its port, if it has one."""

    url: str
    host: str
    events: tuple[State, ...]


@dataclass(frozen=True)
class JobSpec:
    """What a job is made from.

    kind: selects the code that computes it. facts, payload: its input. cost_seconds: the predicted cost. owner: name
    of the API key that may see the job. key: the client's Idempotency-Key. fingerprint: differs between requests.
    webhook: where its end is announced.
    """

    kind: str
    payload: bytes
    facts: Facts = field(default_factory=dict)
    cost_seconds: float = 0.0
    owner: str = ""
    key: str = ""
    fingerprint: str = ""
    webhook: Webhook | None = None


@dataclass(frozen=True)
class Outcome:
    """How a job ended. facts: of the result if it is done, the problem if it failed. may_pass: a retry may succeed.

    result_bytes: the size of a result that is elsewhere; `result` is empty then. object: its name, if it is
    that of the service.
    """

    state: Literal["done", "failed"]
    facts: Facts
    result: bytes = b""
    may_pass: bool = False
    result_bytes: int = 0
    object: str = ""

    @property
    def size_bytes(self) -> int:
        """The size of the result, wherever it is."""
        return len(self.result) or self.result_bytes


@dataclass(frozen=True)
class Attempt:
    """How an attempt to deliver a message ended. status: of the response. pending: try again after retry_seconds."""

    state: DeliveryState
    status: int | None = None
    error: str = ""
    retry_seconds: float = 0.0


@dataclass(frozen=True)
class Delivery:
    """The message that a job is over. It outlives the job. attempt: how often it was sent.

    facts, outcome: of the job. last: the latest attempt that ended. due_at: when the next one begins.
    """

    identity: str
    owner: str
    webhook: Webhook
    event: State
    ended_at: float
    facts: Facts
    outcome: Facts
    result_bytes: int = 0
    attempt: int = 0
    last: Attempt = field(default_factory=lambda: Attempt("pending"))
    due_at: float = 0.0


@dataclass(frozen=True)
class JobRecord:
    """A job without its payload and its result. attempt: how often it was started. progress: as its worker reports.

    object: the name of a result that is not in the store.
    """

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
    webhook: Webhook | None = None
    object: str = ""


@dataclass(frozen=True)
class Lease:
    """A started job. Its attempt is the token: only the holder of the latest one may end the job."""

    job: JobRecord
    payload: bytes


@dataclass(frozen=True)
class Counts:
    """The contents of a store. oldest_seconds: how long the oldest queued job has waited. messages: to be delivered."""

    queued: int
    running: int
    finished: int
    bytes: int
    oldest_seconds: float
    messages: int


@dataclass(frozen=True)
class Bounds:
    """The limits of a store. Waiting payloads may use half of most_bytes. result_seconds: how long a result is kept.

    lease_seconds: a worker that reports nothing for so long is dead. most_attempts: a job fails after so many starts.
    most_messages: to be delivered to webhooks.
    """

    most_jobs: int
    most_bytes: int
    result_seconds: float
    lease_seconds: float
    most_attempts: int
    most_messages: int = 0
