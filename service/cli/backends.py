"""Who makes the pictures: the one face of the engine in this process and of a server, and the way to a server."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from impasto import (
    AsyncClient,
    ConnectionFailedError,
    ForbiddenError,
    ImpastoError,
    MethodNotAllowedError,
    NotFoundError,
    ParameterError,
    ProblemError,
    Retries,
    UnauthorizedError,
    UnknownModelError,
)
from impasto.address import base_of, headers_of
from service.images.formats import Format

_EVERY_TIME = (
    ConnectionFailedError,
    ForbiddenError,
    MethodNotAllowedError,
    NotFoundError,
    UnauthorizedError,
    UnknownModelError,
)


_QUERY_PARAMETER = re.compile(r"(?:query )?parameter '(\w+)'")


@dataclass(frozen=True)
class Order:
    """What is to be done to every picture. what: the style, or the factor. knobs: those that were given, by name."""

    task: Literal["stylize", "upscale"]
    what: str
    knobs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def format(self) -> Format | None:
        """The format that was asked for."""
        return self.knobs.get("format")


@dataclass(frozen=True)
class Painted:
    """An encoded picture, what made it, and the milliseconds of each stage."""

    body: bytes
    format: Format
    model: str
    exact: bool
    milliseconds: Mapping[str, float]


class RefusedError(Exception):
    """A picture that is not made. everything: whether the next one would not be either."""

    def __init__(self, code: str, detail: str, everything: bool = False) -> None:
        detail = _QUERY_PARAMETER.sub(lambda found: "--" + found[1].replace("_", "-"), detail)
        super().__init__(detail)
        self.code, self.detail, self.everything = code, detail, everything


class Painter(Protocol):
    """Makes pictures, several at once."""

    async def paint(self, data: bytes) -> Painted:
        """Do what was ordered to the picture in `data`. Raises RefusedError."""


def is_everywhere_wrong(code: str, parameter: str | None) -> bool:
    """Whether a no would be the same for any picture. An animation's format is another picture's mistake."""
    return code == UnknownModelError.known_code or (code == ParameterError.known_code and parameter != "format")


class ServerPainter:
    """Sends pictures to a server."""

    def __init__(self, client: AsyncClient, order: Order) -> None:
        self._client, self._order = client, order

    async def paint(self, data: bytes) -> Painted:
        """As the server does it, asked again while it is full."""
        try:
            if self._order.task == "stylize":
                painting = await self._client.stylize(data, self._order.what, **self._order.knobs)
            else:
                painting = await self._client.upscale(data, float(self._order.what), **self._order.knobs)
        except ImpastoError as error:
            raise refusal_of(error) from error
        kind: Any = painting.format
        return Painted(bytes(painting), kind, painting.model, painting.exact, painting.milliseconds)


@asynccontextmanager
async def server_painter(url: str, order: Order, key: str | None = None) -> AsyncIterator[Painter]:
    """Through the client. Raises RefusedError where `url` is no address, `key` no key, or nothing listens there."""
    refuse_no_address(url, key)
    async with AsyncClient(url, api_key=key, retries=Retries(attempts=2, first_seconds=0.2)) as first:
        try:
            await first.models()
        except ConnectionFailedError as error:  # said at once; a server that goes later is waited for
            raise refusal_of(error) from error
        except ImpastoError:
            pass  # it is there, and a picture's own answer will say more
    async with AsyncClient(url, api_key=key) as client:
        yield ServerPainter(client, order)


def refuse_no_address(url: str, key: str | None) -> None:
    """Raise RefusedError where `url` is no address, or `key` none that can be sent."""
    try:
        base_of(url)
    except ValueError as error:
        raise RefusedError("invalid_address", str(error), everything=True) from error
    try:
        headers_of(None, key)
    except ValueError as error:
        raise RefusedError("invalid_key", str(error), everything=True) from error


def refusal_of(error: ImpastoError) -> RefusedError:
    """What the client raised, as the command line tells it."""
    code = error.code if isinstance(error, ProblemError) else _code(error)
    wrong = isinstance(error, ProblemError) and is_everywhere_wrong(error.code, error.parameter)
    return RefusedError(code, str(error), wrong or isinstance(error, _EVERY_TIME))


def _code(error: ImpastoError) -> str:
    return "connection_failed" if isinstance(error, ConnectionFailedError) else "no_answer"
