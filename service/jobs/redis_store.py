"""Jobs in Redis or Valkey, for all replicas of a service. Each change is one Lua script, so it is atomic.

    add --> queued --start--> running --finish--> done, failed --result_seconds--> forgotten
               ^                 |
               +--- release, or a lease that ends: its worker died

The end of a job with a webhook puts a message into the outbox, in the same step. Any replica claims and delivers it.

Between owners, the owner with the least predicted seconds goes first (start-time fair queueing). Among the jobs of one
owner, the lowest *arrival + 4 x predicted cost* goes first, so that no job waits for ever.
"""

import json
import secrets
from collections.abc import Mapping
from typing import Any, cast

from service.jobs.record import (
    Attempt,
    Bounds,
    Counts,
    Delivery,
    DeliveryState,
    Facts,
    JobRecord,
    JobSpec,
    Lease,
    Outcome,
    State,
    Webhook,
)
from service.jobs.redis_calls import PREFIX, RedisCalls
from service.jobs.refusals import key_reused, no_room
from service.observability.metrics import Metrics


class RedisStore:
    """Jobs in Redis. Use it on one event loop only. Every method raises UnavailableError if Redis does not respond."""

    def __init__(self, address: str, bounds: Bounds, too_large: Facts, died: Facts, metrics: Metrics) -> None:
        """too_large, died: the problems of a job whose result does not fit, and of one whose workers all died.

        Raises ValueError for an invalid address. Connects with the first operation.
        """
        self._calls = RedisCalls(address, metrics)
        self._bounds, self._too_large, self._died = bounds, json.dumps(too_large), json.dumps(died)
        self._metrics = metrics

    async def add(self, spec: JobSpec) -> tuple[JobRecord, bool]:
        """Queue a job, and return it and whether it is new: the same key and fingerprint return the same job.

        A job that was cancelled, or failed in a way that may pass, is queued again under another identity. Raises
        IdempotencyError if the key was used with another fingerprint, and OverloadedError if the store is full.
        """
        bounds, fields = self._bounds, json.dumps({"kind": spec.kind, "facts": dict(spec.facts)})
        identity = secrets.token_urlsafe(18)
        words = (identity, spec.owner, spec.key, spec.fingerprint, repr(spec.cost_seconds), fields)
        limits = (bounds.most_jobs, bounds.most_bytes, bounds.result_seconds, bounds.most_messages)
        webhook = json.dumps(vars(spec.webhook)) if spec.webhook else ""
        found, *job = await self._calls.script_with(identity, spec.payload, "add", *words, *limits, webhook)
        answer, value = found.decode(), job[0].decode()
        if answer == "reused":
            raise key_reused()
        if answer == "bytes":
            raise no_room(f"the jobs that wait have {value} bytes, half of {bounds.most_bytes} may")
        if answer == "jobs":
            raise no_room(f"{value} jobs are kept, the limit is {bounds.most_jobs}")
        if answer == "messages":
            raise no_room(f"{value} messages wait for webhooks, the limit is {bounds.most_messages}")
        return _record(value, _fields(job[1])), answer == "new"

    async def find(self, identity: str, owner: str) -> JobRecord | None:
        """Return an owner's job; None also for the job of another owner."""
        [fields] = await self._calls.ask(("HGETALL", f"{PREFIX}job:{identity}"))
        job = _record(identity, fields) if fields else None
        return job if job is not None and job.owner == owner else None

    async def start(self, take_over: bool = True) -> Lease | None:
        """Start the next job; None if none is queued. take_over: queue jobs first whose leases have ended."""
        words = (self._bounds.lease_seconds, int(take_over), self._bounds.most_attempts, self._died)
        while True:
            expired, *found = await self._calls.script("start", *words)
            self._metrics.async_leases_expired.inc(expired)
            if not found:
                return None
            job = _record(found[0].decode(), _fields(found[1]))
            payload = await self._calls.get(f"payload:{job.identity}")
            if payload is not None:  # otherwise it was cancelled in between
                self._metrics.async_claims.inc()
                return Lease(job, payload)

    async def report(self, progress: Mapping[tuple[str, int], Facts]) -> set[str]:
        """Extend leases, by identity and attempt, and note the progress. Return the jobs that are no longer leased."""
        words: list[Any] = [self._bounds.lease_seconds]
        for (identity, attempt), facts in progress.items():
            words += [identity, attempt, json.dumps(dict(facts))]
        return {each.decode() for each in await self._calls.script("report", *words)}

    async def finish(self, identity: str, attempt: int, outcome: Outcome) -> bool:
        """End a job. Return False, and change nothing, if the lease is not the latest or the job was cancelled."""
        words = (identity, attempt, outcome.state, json.dumps(dict(outcome.facts)), int(outcome.may_pass))
        limits = (self._bounds.most_bytes, self._too_large, outcome.size_bytes, outcome.object)
        staged = f"{identity}:{attempt}"
        return bool(await self._calls.script_with(staged, outcome.result, "finish", *words, *limits))

    async def release(self, identity: str, attempt: int) -> bool:
        """Put a job back that was started and not computed. The start does not count as an attempt."""
        return bool(await self._calls.script("release", identity, attempt))

    async def result(self, identity: str) -> bytes | None:
        """Return the result of a job that is done, and note that it was fetched. None if it is an object elsewhere."""
        return await self._calls.fetch(f"result:{identity}", "fetch", identity)

    async def reserve(self, name: str, seconds: float) -> None:
        """Note an object before it is written. It is discarded unless `finish` gives it to a job within `seconds`."""
        await self._calls.script("reserve", name, seconds)

    async def discarded(self, most: int, seconds: float) -> list[str]:
        """Return objects that no job has any more. They are returned again after `seconds`, unless forgotten."""
        return [name.decode() for name in await self._calls.script("discard", most, seconds)]

    async def forget_object(self, name: str) -> None:
        """Note that an object was deleted."""
        await self._calls.ask(("ZREM", f"{PREFIX}objects", name))

    async def remove(self, identity: str, announce: bool = True) -> None:
        """Cancel a job that is not over; it stays known as cancelled. Forget a job that is over.

        announce: tell its webhook that it was cancelled.
        """
        await self._calls.script("remove", identity, int(announce))

    async def delivery(self, identity: str) -> Delivery | None:
        """Return the message that a job is over, delivered or not."""
        [fields] = await self._calls.ask(("HGETALL", f"{PREFIX}delivery:{identity}"))
        return _delivery(identity, fields) if fields else None

    async def claim(
        self, most: int, most_per_host: int, busy: Mapping[str, int], lease_seconds: float
    ) -> list[Delivery]:
        """Return messages to deliver now; see Outbox."""
        hosts = [word for pair in busy.items() for word in pair]
        found = await self._calls.script("claim", lease_seconds, most, most_per_host, *hosts)
        pairs = zip(found[::2], found[1::2], strict=True)
        return [_delivery(name.decode(), _fields(each)) for name, each in pairs]

    async def settle(self, delivery: Delivery, attempt: Attempt) -> bool:
        """Note how an attempt ended; see Outbox."""
        words = (delivery.identity, delivery.attempt, attempt.state, attempt.retry_seconds)
        return bool(await self._calls.script("settle", *words, attempt.status or 0, attempt.error))

    async def position(self, job: JobRecord) -> int:
        """Return the position of a queued job among those of its owner, after all that run; 1 is next."""
        queue = ("ZRANK", f"{PREFIX}queue:{job.owner}", job.identity)
        rank, running = await self._calls.ask(queue, ("ZCARD", f"{PREFIX}leases"))
        return 1 + (rank or 0) + int(running)

    async def sweep(self) -> Counts:
        """Forget results whose time is over, and count what is left."""
        counts = await self._calls.script("sweep", self._bounds.result_seconds)
        queued, running, finished, size, milliseconds, messages = counts
        return Counts(queued, running, finished, size, milliseconds / 1000, messages)

    async def close(self) -> None:
        """Close the connections."""
        await self._calls.close()


def _fields(flat: list[bytes]) -> dict[bytes, bytes]:
    """Return a hash that a script has returned."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _record(identity: str, fields: Mapping[bytes, bytes]) -> JobRecord:
    text = {name.decode(): value.decode() for name, value in fields.items()}
    made = json.loads(text["fields"])
    return JobRecord(
        identity,
        made["kind"],
        text["owner"],
        cast("State", text["state"]),
        made["facts"],
        float(text["cost"]),
        float(text["accepted"]),
        int(text["attempt"]),
        json.loads(text.get("progress", "{}")),
        json.loads(text.get("outcome", "{}")),
        int(text.get("result_bytes", 0)),
        _webhook(text["webhook"]) if "webhook" in text else None,
        text.get("object", ""),
    )


def _webhook(text: str) -> Webhook:
    fields = json.loads(text)
    return Webhook(fields["url"], fields["host"], tuple(fields["events"]))


def _delivery(identity: str, fields: Mapping[bytes, bytes]) -> Delivery:
    """Read a message: it has the fields of its job, and its own."""
    job, text = _record(identity, fields), {name.decode(): value.decode() for name, value in fields.items()}
    last = Attempt(cast("DeliveryState", text["delivery"]), int(text.get("status", 0)) or None, text.get("error", ""))
    assert job.webhook is not None
    return Delivery(
        identity,
        job.owner,
        job.webhook,
        job.state,
        float(text["ended"]),
        job.facts,
        job.outcome,
        job.result_bytes,
        int(text["tries"]),
        last,
        float(text["due"]),
    )
