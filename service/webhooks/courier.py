"""Delivers the messages of the outbox, in each replica: a few at a time, and again later if the receiver fails."""

import asyncio
import logging
import random
import time
from collections import Counter

from service.errors import UnavailableError
from service.jobs.record import Attempt, Delivery
from service.observability.metrics import Metrics
from service.webhooks.outbox import Outbox
from service.webhooks.sender import Response, Sender

log = logging.getLogger(__name__)

MOST, MOST_PER_HOST = 16, 4
"""Messages that one replica delivers at the same time, so that a slow receiver does not delay the others."""

_TICK_SECONDS, _PAUSE_SECONDS = 0.25, 1.0
SPARE_SECONDS = 10.0
"""How much longer than an attempt its lease lasts."""

FIRST_SECONDS, FACTOR, LONGEST_SECONDS, _JITTER = 5.0, 4.0, 3600.0, 0.2


def pause_after(attempt: int, asked: float = 0.0) -> float:
    """Return the seconds between an attempt, 1 for the first, and the next. asked: by the receiver's Retry-After."""
    seconds = min(FIRST_SECONDS * FACTOR ** min(attempt - 1, 10), LONGEST_SECONDS)
    return max(asked, seconds * random.uniform(1 - _JITTER, 1 + _JITTER))  # noqa: S311  # no secret


class Courier:
    """The deliveries of one replica. Use it on the event loop only."""

    def __init__(self, outbox: Outbox, sender: Sender, seconds: float, hours: float, metrics: Metrics) -> None:
        """seconds: time limit for an attempt. hours: after so many, a message is given up."""
        self._outbox, self._sender, self._metrics = outbox, sender, metrics
        self._lease_seconds, self._kept_seconds = seconds + SPARE_SECONDS, 3600 * hours
        self._busy: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.Task[None] | None = None
        self._stopped = False

    def start(self) -> None:
        """Begin to deliver."""
        self._loop = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Stop all deliveries. With Redis, another replica goes on with them when their leases end."""
        self._stopped = True
        tasks = [*self._tasks, *([self._loop] if self._loop is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._sender.close()

    async def _run(self) -> None:
        while not self._stopped:  # as in pipeline.job_runner
            seconds = _TICK_SECONDS
            try:
                if (free := MOST - len(self._tasks)) > 0:
                    for delivery in await self._outbox.claim(free, MOST_PER_HOST, +self._busy, self._lease_seconds):
                        self._begin(delivery)
            except UnavailableError:
                seconds = _PAUSE_SECONDS
            except Exception:
                log.exception("unforeseen")
                seconds = _PAUSE_SECONDS
            await asyncio.sleep(seconds)

    def _begin(self, delivery: Delivery) -> None:
        host = delivery.webhook.host
        self._busy[host] += 1
        task = asyncio.create_task(self._deliver(delivery))
        self._tasks.add(task)
        task.add_done_callback(lambda task: self._end(task, host))

    def _end(self, task: "asyncio.Task[None]", host: str) -> None:
        self._tasks.discard(task)
        self._busy[host] -= 1
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("unforeseen", exc_info=error)

    async def _deliver(self, delivery: Delivery) -> None:
        response = await self._sender.send(delivery)
        attempt = self._judge(delivery, response)
        outcome = {"delivered": "delivered", "pending": "retried", "failed": "given_up"}[attempt.state]
        self._metrics.webhook_attempts.labels(outcome).inc()
        facts = {"outcome": outcome, "host": delivery.webhook.host, "attempt": delivery.attempt, "error": attempt.error}
        log.log(logging.INFO if attempt.state == "delivered" else logging.WARNING, "webhook", extra=facts)
        until = time.monotonic() + SPARE_SECONDS
        while True:
            try:
                await self._outbox.settle(delivery, attempt)
            except UnavailableError:
                if time.monotonic() > until:  # the lease ends, and the message is sent again
                    return
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                return

    def _judge(self, delivery: Delivery, response: Response) -> Attempt:
        if response.taken:
            return Attempt("delivered", response.status)
        pause = pause_after(delivery.attempt, response.retry_after)
        if response.gone or time.time() + pause > delivery.ended_at + self._kept_seconds:
            return Attempt("failed", response.status, response.error)
        return Attempt("pending", response.status, response.error, pause)
