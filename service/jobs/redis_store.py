"""Jobs in Redis or Valkey, for all replicas of a service. Each operation is one Lua script, so it is atomic.

    add --> queued --start--> running --finish--> done, failed --result_seconds--> forgotten
               ^                 |
               +--- release, or a lease that ends: its worker died

The end of a job with a webhook puts a message into the outbox, in the same step. Any replica claims and delivers it.

Between owners, the owner with the least predicted seconds goes first (start-time fair queueing). Among the jobs of one
owner, the lowest *arrival + 4 x predicted cost* goes first, so that no job waits for ever.
"""

import json
import logging
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as LostError
from redis.exceptions import RedisError

from service.errors import UnavailableError
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
from service.jobs.refusals import key_reused, no_room, no_store
from service.observability.metrics import Metrics

log = logging.getLogger(__name__)

PREFIX = "{impasto}:"
_SCRIPTS = Path(__file__).parent / "lua"
_NOT_AGAIN = frozenset({"start", "remove", "claim"})
"""Scripts that would do something else the second time."""

_CONNECT_SECONDS, _ANSWER_SECONDS = 1.0, 5.0


class RedisStore:
    """Jobs in Redis. Use it on one event loop only. Every method raises UnavailableError if Redis does not respond."""

    def __init__(self, address: str, bounds: Bounds, too_large: Facts, died: Facts, metrics: Metrics) -> None:
        """too_large, died: the problems of a job whose result does not fit, and of one whose workers all died.

        Raises ValueError for an invalid address. Connects with the first operation.
        """
        self._redis = Redis.from_url(
            address,
            socket_timeout=_ANSWER_SECONDS,
            socket_connect_timeout=_CONNECT_SECONDS,
            retry=Retry(NoBackoff(), 0),  # see _call
        )
        self._bounds, self._too_large, self._died = bounds, json.dumps(too_large), json.dumps(died)
        self._metrics, self._is_down = metrics, False
        prelude = (_SCRIPTS / "prelude.lua").read_text()
        names = (
            "add",
            "start",
            "report",
            "finish",
            "release",
            "fetch",
            "remove",
            "sweep",
            "claim",
            "settle",
            "reserve",
            "discard",
        )
        self._scripts = {
            name: self._redis.register_script(prelude + (_SCRIPTS / f"{name}.lua").read_text()) for name in names
        }

    async def add(self, spec: JobSpec) -> tuple[JobRecord, bool]:
        """Queue a job, and return it and whether it is new: the same key and fingerprint return the same job.

        A job that was cancelled, or failed in a way that may pass, is queued again under another identity. Raises
        IdempotencyError if the key was used with another fingerprint, and OverloadedError if the store is full.
        """
        bounds, fields = self._bounds, json.dumps({"kind": spec.kind, "facts": dict(spec.facts)})
        identity = secrets.token_urlsafe(18)
        words = (identity, spec.owner, spec.key, spec.fingerprint, spec.payload, repr(spec.cost_seconds), fields)
        limits = (bounds.most_jobs, bounds.most_bytes, bounds.result_seconds, bounds.most_messages)
        webhook = json.dumps(vars(spec.webhook)) if spec.webhook else ""
        answer, value = (part.decode() for part in await self._run("add", *words, *limits, webhook))
        if answer == "reused":
            raise key_reused()
        if answer == "bytes":
            raise no_room(f"the jobs that wait have {value} bytes, half of {bounds.most_bytes} may")
        if answer == "jobs":
            raise no_room(f"{value} jobs are kept, the limit is {bounds.most_jobs}")
        if answer == "messages":
            raise no_room(f"{value} messages wait for webhooks, the limit is {bounds.most_messages}")
        job = await self.find(value, spec.owner)
        if job is None:  # it was removed in between
            raise UnavailableError("the job was removed while it was added", {"Retry-After": "1"})
        return job, answer == "new"

    async def find(self, identity: str, owner: str) -> JobRecord | None:
        """Return an owner's job; None also for the job of another owner."""
        fields = await self._ask("HGETALL", f"{PREFIX}job:{identity}")
        job = _record(identity, fields) if fields else None
        return job if job is not None and job.owner == owner else None

    async def start(self, take_over: bool = True) -> Lease | None:
        """Start the next job; None if none is queued. take_over: queue jobs first whose leases have ended."""
        bounds = self._bounds
        expired, *found = await self._run(
            "start", bounds.lease_seconds, int(take_over), bounds.most_attempts, self._died
        )
        self._metrics.async_leases_expired.inc(expired)
        if not found:
            return None
        identity, fields, payload = found
        self._metrics.async_claims.inc()
        return Lease(_record(identity.decode(), dict(zip(fields[::2], fields[1::2], strict=True))), payload)

    async def report(self, progress: Mapping[tuple[str, int], Facts]) -> set[str]:
        """Extend leases, by identity and attempt, and note the progress. Return the jobs that are no longer leased."""
        words: list[Any] = [self._bounds.lease_seconds]
        for (identity, attempt), facts in progress.items():
            words += [identity, attempt, json.dumps(dict(facts))]
        return {each.decode() for each in await self._run("report", *words)}

    async def finish(self, identity: str, attempt: int, outcome: Outcome) -> bool:
        """End a job. Return False, and change nothing, if the lease is not the latest or the job was cancelled."""
        words = (identity, attempt, outcome.state, json.dumps(dict(outcome.facts)), outcome.result)
        limits = (int(outcome.may_pass), self._bounds.most_bytes, self._too_large, outcome.size_bytes)
        return bool(await self._run("finish", *words, *limits, outcome.object))

    async def release(self, identity: str, attempt: int) -> bool:
        """Put a job back that was started and not computed. The start does not count as an attempt."""
        return bool(await self._run("release", identity, attempt))

    async def result(self, identity: str) -> bytes | None:
        """Return the result of a job that is done, and note that it was fetched. None if it is an object elsewhere."""
        return cast("bytes | None", await self._run("fetch", identity))

    async def reserve(self, name: str, seconds: float) -> None:
        """Note an object before it is written. It is discarded unless `finish` gives it to a job within `seconds`."""
        await self._run("reserve", name, seconds)

    async def discarded(self, most: int, seconds: float) -> list[str]:
        """Return objects that no job has any more. They are returned again after `seconds`, unless forgotten."""
        return [name.decode() for name in await self._run("discard", most, seconds)]

    async def forget_object(self, name: str) -> None:
        """Note that an object was deleted."""
        await self._ask("ZREM", f"{PREFIX}objects", name)

    async def remove(self, identity: str, announce: bool = True) -> None:
        """Cancel a job that is not over; it stays known as cancelled. Forget a job that is over.

        announce: tell its webhook that it was cancelled.
        """
        await self._run("remove", identity, int(announce))

    async def delivery(self, identity: str) -> Delivery | None:
        """Return the message that a job is over, delivered or not."""
        fields = await self._ask("HGETALL", f"{PREFIX}delivery:{identity}")
        return _delivery(identity, fields) if fields else None

    async def claim(
        self, most: int, most_per_host: int, busy: Mapping[str, int], lease_seconds: float
    ) -> list[Delivery]:
        """Return messages to deliver now; see Outbox."""
        hosts = [word for pair in busy.items() for word in pair]
        found = await self._run("claim", lease_seconds, most, most_per_host, *hosts)
        pairs = zip(found[::2], found[1::2], strict=True)
        return [_delivery(name.decode(), dict(zip(each[::2], each[1::2], strict=True))) for name, each in pairs]

    async def settle(self, delivery: Delivery, attempt: Attempt) -> bool:
        """Note how an attempt ended; see Outbox."""
        words = (delivery.identity, delivery.attempt, attempt.state, attempt.retry_seconds)
        return bool(await self._run("settle", *words, attempt.status or 0, attempt.error))

    async def position(self, job: JobRecord) -> int:
        """Return the position of a queued job among those of its owner, after all that run; 1 is next."""
        rank = await self._ask("ZRANK", f"{PREFIX}queue:{job.owner}", job.identity)
        return 1 + (rank or 0) + int(await self._ask("ZCARD", f"{PREFIX}leases"))

    async def sweep(self) -> Counts:
        """Forget results whose time is over, and count what is left."""
        counts = await self._run("sweep", self._bounds.result_seconds)
        queued, running, finished, size, milliseconds, messages = counts
        return Counts(queued, running, finished, size, milliseconds / 1000, messages)

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def _run(self, name: str, *words: Any) -> Any:
        arguments = cast("Iterable[Any]", words)
        return await self._call(lambda: self._scripts[name](keys=[PREFIX], args=arguments), name not in _NOT_AGAIN)

    async def _ask(self, *words: Any) -> Any:
        return await self._call(lambda: self._redis.execute_command(*words))  # type: ignore[no-untyped-call]

    async def _call(self, call: Callable[[], Awaitable[Any]], again: bool = True) -> Any:
        """Call Redis, and once more if the connection was lost: Redis closes connections when it restarts."""
        try:
            answer = await call()
        except (RedisError, OSError) as error:
            await self._redis.connection_pool.disconnect(inuse_connections=False)
            if again and isinstance(error, LostError):
                return await self._call(call, again=False)
            raise self._down(error) from error
        if self._is_down:
            log.warning("the job store responds again")
        self._is_down = False
        return answer

    def _down(self, error: Exception) -> UnavailableError:
        self._metrics.job_store_errors.inc()
        if not self._is_down:  # the message of the error may hold the address and the password
            log.error("the job store does not respond", extra={"error": type(error).__name__})
        self._is_down = True
        return no_store()


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
