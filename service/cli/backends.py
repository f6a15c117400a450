"""What processes pictures: the one interface of the engine in this process and of a server; the way to a server."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from impasto import (
    AsyncClient,
    Client,
    ConnectionFailedError,
    ForbiddenError,
    ImpastoError,
    MethodNotAllowedError,
    Models,
    NotFoundError,
    ParameterError,
    ProblemError,
    Retries,
    UnauthorizedError,
    UnknownModelError,
)
from impasto.address import base_of, headers_of
from service.images.formats import Format

_ALWAYS_FATAL = (
    ConnectionFailedError,
    ForbiddenError,
    MethodNotAllowedError,
    NotFoundError,
    UnauthorizedError,
    UnknownModelError,
)
_QUERY_PARAMETER = re.compile(r"(?:query )?parameter '(\w+)'")


@dataclass(frozen=True)
class Operation:
    """What is to be done to every picture.

    what: the style, or the factor. parameters: those that were given, by their names in HTTP.
    """

    task: Literal["stylize", "upscale"]
    what: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def format(self) -> Format | None:
        """Return the format that was asked for."""
        return self.parameters.get("format")

    @property
    def recorded(self) -> dict[str, Any]:
        """Return all that decides how an output looks."""
        return {"style" if self.task == "stylize" else "factor": self.what, **self.parameters}


@dataclass(frozen=True)
class Output:
    """An encoded picture, the networks that made it, and the milliseconds of each stage."""

    body: bytes
    format: Format
    model: str
    exact: bool
    milliseconds: Mapping[str, float]


class RefusedError(Exception):
    """A picture that is not processed. everything: whether every other picture would be refused too."""

    def __init__(self, code: str, detail: str, everything: bool = False) -> None:
        detail = _QUERY_PARAMETER.sub(lambda found: "--" + found[1].replace("_", "-"), detail)
        super().__init__(detail)
        self.code, self.detail, self.everything = code, detail, everything


class Backend(Protocol):
    """Processes pictures, several at once."""

    async def process(self, data: bytes) -> Output:
        """Do the operation to the picture in `data`, the bytes of an image file. Raises RefusedError."""


def concerns_every_picture(code: str, parameter: str | None) -> bool:
    """Return whether the same refusal would meet any picture. A format may suit an animation and no still picture."""
    return code == UnknownModelError.known_code or (code == ParameterError.known_code and parameter != "format")


class ServerBackend:
    """Sends pictures to a server."""

    def __init__(self, client: AsyncClient, operation: Operation) -> None:
        self._client, self._operation = client, operation

    async def process(self, data: bytes) -> Output:
        """Let the server do it; while it is full, ask again."""
        operation = self._operation
        try:
            if operation.task == "stylize":
                painting = await self._client.stylize(data, operation.what, **operation.parameters)
            else:
                painting = await self._client.upscale(data, float(operation.what), **operation.parameters)
        except ImpastoError as error:
            raise refusal_of(error) from error
        kind: Any = painting.format
        return Output(bytes(painting), kind, painting.model, painting.exact, painting.milliseconds)


@asynccontextmanager
async def server_backend(url: str, operation: Operation, key: str | None = None) -> AsyncIterator[Backend]:
    """Yield a backend that reaches a server through the client."""
    async with AsyncClient(url, api_key=key) as client:
        yield ServerBackend(client, operation)


def server_models(url: str, key: str | None = None) -> Models | None:
    """Return what a server has; None where it answers something else, for then a picture's own answer says more.

    Raises RefusedError where `url` is no address, `key` no key, or nothing listens there.
    """
    refuse_no_address(url, key)
    try:
        with Client(url, api_key=key, retries=Retries(attempts=2, first_seconds=0.2)) as client:
            return client.models()
    except ConnectionFailedError as error:  # said at once; a server that goes later is waited for
        raise refusal_of(error) from error
    except ImpastoError:
        return None


def refuse_no_address(url: str, key: str | None) -> None:
    """Raise RefusedError where `url` is no address, or `key` cannot be sent in a header."""
    try:
        base_of(url)
    except ValueError as error:
        raise RefusedError("invalid_address", str(error), everything=True) from error
    try:
        headers_of(None, key)
    except ValueError as error:
        raise RefusedError("invalid_key", str(error), everything=True) from error


def refusal_of(error: ImpastoError) -> RefusedError:
    """Return what the client raised, as the command line reports it."""
    code = error.code if isinstance(error, ProblemError) else _code(error)
    wrong = isinstance(error, ProblemError) and concerns_every_picture(error.code, error.parameter)
    return RefusedError(code, str(error), wrong or isinstance(error, _ALWAYS_FATAL))


def _code(error: ImpastoError) -> str:
    return "connection_failed" if isinstance(error, ConnectionFailedError) else "no_answer"
