"""A job store in Redis or Valkey, for all replicas of a service. Each operation is one Lua script, so it is atomic."""

import json
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as LostError
from redis.exceptions import TimeoutError as LateError

from service.errors import UnavailableError
from service.jobs.record import Bounds, Counts, Facts, JobRecord, JobSpec, Lease, Outcome, State
from service.jobs.store import RETRY_AFTER_SECONDS, key_reused, no_room

PREFIX = "{impasto}:"
_SCRIPTS = Path(__file__).parent / "lua"
_ANSWER_SECONDS = 2.0


class RedisStore:
    """Jobs in Redis. Use it on one event loop only."""

    def __init__(self, address: str, bounds: Bounds, too_large: Facts, died: Facts) -> None:
        """too_large, died: the problems of a job whose result does not fit, and of one whose workers all died."""
        self._redis = Redis.from_url(
            address, socket_timeout=_ANSWER_SECONDS, socket_connect_timeout=_ANSWER_SECONDS, decode_responses=False
        )
        self._bounds, self._too_large, self._died = bounds, json.dumps(too_large), json.dumps(died)
        prelude = (_SCRIPTS / "prelude.lua").read_text()
        names = ("add", "start", "report", "finish", "release", "remove")
        self._scripts = {
            name: self._redis.register_script(prelude + (_SCRIPTS / f"{name}.lua").read_text()) for name in names
        }

    async def add(self, spec: JobSpec) -> tuple[JobRecord, bool]:
        """Queue a job; see JobStore."""
        bounds, fields = self._bounds, json.dumps({"kind": spec.kind, "facts": dict(spec.facts)})
        identity = secrets.token_urlsafe(18)
        words = (identity, spec.owner, spec.key, spec.fingerprint, spec.payload, repr(spec.cost_seconds), fields)
        limits = (bounds.most_jobs, bounds.most_bytes, bounds.result_seconds)
        answer, value = (part.decode() for part in await self._run("add", *words, *limits))
        if answer == "reused":
            raise key_reused()
        if answer == "bytes":
            raise no_room(f"the jobs that wait have {value} bytes, half of {bounds.most_bytes} may")
        if answer == "jobs":
            raise no_room(f"{value} jobs are kept, the limit is {bounds.most_jobs}")
        job = await self.find(value, spec.owner)
        if job is None:  # it was removed in between
            raise UnavailableError("the job was removed while it was added", {"Retry-After": "1"})
        return job, answer == "new"

    async def find(self, identity: str, owner: str) -> JobRecord | None:
        """Return an owner's job; see JobStore."""
        fields = await self._ask("HGETALL", f"{PREFIX}job:{identity}")
        job = _record(identity, fields) if fields else None
        return job if job is not None and job.owner == owner else None

    async def start(self, take_over: bool = True) -> Lease | None:
        """Start the next job; see JobStore."""
        bounds = self._bounds
        found = await self._run("start", bounds.lease_seconds, int(take_over), bounds.most_attempts, self._died)
        if found is None:
            return None
        identity, fields, payload = found
        return Lease(_record(identity.decode(), dict(zip(fields[::2], fields[1::2], strict=True))), payload)

    async def report(self, progress: Mapping[tuple[str, int], Facts]) -> set[str]:
        """Extend leases; see JobStore."""
        words: list[Any] = [self._bounds.lease_seconds]
        for (identity, attempt), facts in progress.items():
            words += [identity, attempt, json.dumps(dict(facts))]
        return {each.decode() for each in await self._run("report", *words)}

    async def finish(self, identity: str, attempt: int, outcome: Outcome) -> bool:
        """End a job; see JobStore."""
        words = (identity, attempt, outcome.state, json.dumps(dict(outcome.facts)), outcome.result)
        limits = (int(outcome.may_pass), self._bounds.most_bytes, self._too_large)
        return bool(await self._run("finish", *words, *limits))

    async def release(self, identity: str, attempt: int) -> bool:
        """Put a job back; see JobStore."""
        return bool(await self._run("release", identity, attempt))

    async def result(self, identity: str) -> bytes | None:
        """Return a result; see JobStore."""
        if (result := await self._ask("GET", f"{PREFIX}result:{identity}")) is not None:
            await self._ask("HSET", f"{PREFIX}job:{identity}", "fetched", "1")
        return cast("bytes | None", result)

    async def remove(self, identity: str) -> None:
        """Cancel or forget a job; see JobStore."""
        await self._run("remove", identity)

    async def position(self, identity: str) -> int:
        """Return the position of a queued job; see JobStore."""
        owner = await self._ask("HGET", f"{PREFIX}job:{identity}", "owner")
        rank = await self._ask("ZRANK", f"{PREFIX}queue:{(owner or b'').decode()}", identity)
        return 1 + (rank or 0) + int(await self._ask("ZCARD", f"{PREFIX}leases"))

    async def counts(self) -> Counts:
        """Count what is in the store; see JobStore."""
        totals = {name.decode(): int(count) for name, count in (await self._ask("HGETALL", f"{PREFIX}totals")).items()}
        running = int(await self._ask("ZCARD", f"{PREFIX}leases"))
        finished = int(await self._ask("ZCARD", f"{PREFIX}finished"))
        return Counts(totals.get("queued", 0), running, finished, totals.get("payload", 0) + totals.get("result", 0))

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def _run(self, name: str, *words: Any) -> Any:
        try:
            return await self._scripts[name](keys=[PREFIX], args=cast("Iterable[Any]", words))
        except (LostError, LateError, OSError) as error:
            raise _down() from error

    async def _ask(self, *words: Any) -> Any:
        try:
            return await self._redis.execute_command(*words)  # type: ignore[no-untyped-call]
        except (LostError, LateError, OSError) as error:
            raise _down() from error


def _down() -> UnavailableError:
    """Build the error; the message of Redis may hold the address and the password."""
    return UnavailableError("the job store does not respond", {"Retry-After": str(RETRY_AFTER_SECONDS)})


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
        text.get("fetched") == "1",
    )
