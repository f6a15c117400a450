"""Messages that are not delivered yet: the protocol, and the outbox in the memory of this process.

The one in Redis is part of `jobs.redis_store`, because a job ends and its message is put there in one step.
"""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from service.jobs.record import Attempt, Delivery


class Outbox(Protocol):
    """Use it on the event loop only. The one in Redis raises UnavailableError while Redis does not respond."""

    async def claim(
        self, most: int, most_per_host: int, busy: Mapping[str, int], lease_seconds: float
    ) -> list[Delivery]:
        """Return up to `most` messages that are due; nobody else gets them while the lease lasts.

        busy: the number of messages that the caller delivers now, by host.
        """

    async def settle(self, delivery: Delivery, attempt: Attempt) -> bool:
        """Note how an attempt ended. Return False, and change nothing, if a later attempt has begun."""


class MemoryOutbox:
    """An Outbox for one process. Its messages end with the process."""

    def __init__(self) -> None:
        self._deliveries: dict[str, Delivery] = {}
        self._unknown: set[str] = set()

    def put(self, delivery: Delivery) -> None:
        """Add a message, which is due now."""
        self._deliveries[delivery.identity] = delivery

    def find(self, identity: str) -> Delivery | None:
        """Return the message that a job is over, delivered or not."""
        return self._deliveries.get(identity)

    def forget(self, identity: str) -> None:
        """Note that the job is no longer known: its message goes when it is delivered."""
        if (delivery := self._deliveries.get(identity)) is not None:
            self._unknown.add(identity)
            self._clear(delivery)

    @property
    def waiting(self) -> int:
        """The number of messages that are not delivered."""
        return sum(each.last.state == "pending" for each in self._deliveries.values())

    @property
    def fresh(self) -> bool:
        """Whether there is a message whose first attempt has not ended."""
        pending = (each for each in self._deliveries.values() if each.last.state == "pending")
        return any(each.attempt == 0 or (each.attempt == 1 and not each.last.error) for each in pending)

    async def claim(
        self, most: int, most_per_host: int, busy: Mapping[str, int], lease_seconds: float
    ) -> list[Delivery]:
        """Return messages to deliver now; see Outbox."""
        now, counts = time.time(), dict(busy)
        found: list[Delivery] = []
        due = [each for each in self._deliveries.values() if each.last.state == "pending" and each.due_at <= now]
        for delivery in sorted(due, key=lambda each: each.due_at):
            host = delivery.webhook.host
            if len(found) < most and counts.get(host, 0) < most_per_host:
                counts[host] = counts.get(host, 0) + 1
                claimed = replace(delivery, attempt=delivery.attempt + 1, due_at=now + lease_seconds)
                self._deliveries[delivery.identity] = claimed
                found.append(claimed)
        return found

    async def settle(self, delivery: Delivery, attempt: Attempt) -> bool:
        """Note how an attempt ended; see Outbox."""
        known = self._deliveries.get(delivery.identity)
        if known is None or known.attempt != delivery.attempt or known.last.state != "pending":
            return False
        settled = replace(known, last=attempt, due_at=time.time() + attempt.retry_seconds)
        self._deliveries[delivery.identity] = settled
        self._clear(settled)
        return True

    def _clear(self, delivery: Delivery) -> None:
        if delivery.identity in self._unknown and delivery.last.state != "pending":
            del self._deliveries[delivery.identity]
            self._unknown.discard(delivery.identity)
