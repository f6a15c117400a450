"""Calls of Redis: scripts and commands, several in one round trip.

Images do not pass through scripts, which would copy them four times. They are staged: stored under a name of their own
that expires, by a command that is sent together with the script. The script renames them, or they are deleted.
"""

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as LostError
from redis.exceptions import NoScriptError, RedisError, ResponseError

from service.errors import UnavailableError
from service.jobs.refusals import no_store, other_format
from service.observability.metrics import Metrics

log = logging.getLogger(__name__)

PREFIX = "{impasto}:"
FORMAT = "1"
"""Version of the layout of the keys. Another one is refused, so that no job is read wrongly or lost."""

_OTHER_FORMAT = "OTHERFORMAT "
_SCRIPTS = Path(__file__).parent / "lua"
_NOT_AGAIN = frozenset({"start", "remove", "claim"})
"""Scripts that would do something else the second time."""

_CONNECT_SECONDS, _ANSWER_SECONDS = 1.0, 5.0
_STAGED_SECONDS = 60
"""How long staged bytes are kept if the connection is lost before their script runs."""

Command = tuple[Any, ...]


class RedisCalls:
    """The connections to Redis, for one event loop. Methods raise UnavailableError if Redis does not respond."""

    def __init__(self, address: str, metrics: Metrics) -> None:
        """Connect with the first call. Raises ValueError for an invalid address."""
        self._redis = Redis.from_url(
            address,
            socket_timeout=_ANSWER_SECONDS,
            socket_connect_timeout=_CONNECT_SECONDS,
            retry=Retry(NoBackoff(), 0),  # see _call
        )
        self._metrics, self._is_down = metrics, False
        prelude = f"local FORMAT = '{FORMAT}'\n" + (_SCRIPTS / "prelude.lua").read_text()
        files = (path for path in _SCRIPTS.glob("*.lua") if path.stem != "prelude")
        self._scripts = {path.stem: (prelude + path.read_text()).encode() for path in files}
        self._digests = {name: _digest(text) for name, text in self._scripts.items()}

    async def script(self, name: str, *words: Any) -> Any:
        """Run a script, and return what it returns."""
        [answer] = await self._call([self._script(name, words)], name not in _NOT_AGAIN)
        return answer

    async def script_with(self, staged: str, data: bytes, name: str, *words: Any) -> Any:
        """Run a script that takes bytes, which are staged under a name."""
        key = f"{PREFIX}staged:{staged}"
        stage = ("SET", key, data, "EX", _STAGED_SECONDS)
        return (await self._call([stage, self._script(name, words), ("DEL", key)], name not in _NOT_AGAIN))[1]

    async def fetch(self, key: str, name: str, *words: Any) -> bytes | None:
        """Return the bytes of a key, and run a script then."""
        found, _ = await self._call([("GET", PREFIX + key), self._script(name, words)], name not in _NOT_AGAIN)
        return cast("bytes | None", found)

    async def get(self, key: str) -> bytes | None:
        """Return the bytes of a key, after a script that has found the job."""
        return cast("bytes | None", (await self._call([("GET", PREFIX + key)]))[0])

    async def ask(self, *commands: Command) -> list[Any]:
        """Run commands, and return the answer of each."""
        return (await self._call([("GET", f"{PREFIX}format"), *commands]))[1:]

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    def _script(self, name: str, words: Sequence[Any]) -> Command:
        return ("EVALSHA", self._digests[name], 1, PREFIX, *words)

    async def _call(self, commands: Sequence[Command], again: bool = True) -> list[Any]:
        """Call Redis, and once more if the connection was lost: Redis closes connections when it restarts."""
        try:
            answers = await self._answers(commands)
            _check_format(commands, answers)
        except (RedisError, OSError) as error:
            await self._redis.connection_pool.disconnect(inuse_connections=False)
            if again and isinstance(error, LostError):
                return await self._call(commands, again=False)
            raise self._down(error) from error
        if self._is_down:
            log.warning("the job store responds again")
        self._is_down = False
        return answers

    async def _answers(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands in one round trip. Redis forgets the scripts when it restarts; then it runs none of them."""
        try:
            return await self._send(commands)
        except NoScriptError:
            await self._send([("SCRIPT", "LOAD", text) for text in self._scripts.values()])
            return await self._send(commands)

    async def _send(self, commands: Sequence[Command]) -> list[Any]:
        if len(commands) == 1:
            return [await self._redis.execute_command(*commands[0])]  # type: ignore[no-untyped-call]
        async with self._redis.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            answers: list[Any] = await pipeline.execute(raise_on_error=False)
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers

    def _down(self, error: Exception) -> UnavailableError:
        self._metrics.job_store_errors.inc()
        found = str(error).removeprefix(_OTHER_FORMAT) if str(error).startswith(_OTHER_FORMAT) else None
        if not self._is_down:  # the message of another error may hold the address and the password
            log.error("the job store does not respond", extra={"error": type(error).__name__, "format": found})
        self._is_down = True
        return no_store() if found is None else other_format(found, FORMAT)


def _check_format(commands: Sequence[Command], answers: list[Any]) -> None:
    """Raise what the scripts raise, if the first command asks for the format and it is another one."""
    if commands[0] == ("GET", f"{PREFIX}format") and answers[0] not in {None, FORMAT.encode()}:
        raise ResponseError(f"{_OTHER_FORMAT}{answers[0].decode()}")


def _digest(script: bytes) -> str:
    """Return the name that Redis gives to a script."""
    return hashlib.sha1(script, usedforsecurity=False).hexdigest()
