"""Backends of the command line: the interface, the server backend, and how to reach a server."""

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
from service.cli.refused import RefusedError
from service.images.formats import Format

_ALWAYS_FATAL = (
    ConnectionFailedError,
    ForbiddenError,
    MethodNotAllowedError,
    NotFoundError,
    UnauthorizedError,
    UnknownModelError,
)


@dataclass(frozen=True)
class Operation:
    """The transformation of a run. what: the style, or the factor. parameters: the given ones, by their HTTP names."""

    task: Literal["stylize", "upscale"]
    what: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def format(self) -> Format | None:
        """The requested output format."""
        return self.parameters.get("format")

    @property
    def lossless(self) -> bool:
        """Whether only an output without loss is requested."""
        return bool(self.parameters.get("lossless"))

    @property
    def recorded(self) -> dict[str, Any]:
        """Everything that determines an output."""
        return {"style" if self.task == "stylize" else "factor": self.what, **self.parameters}


@dataclass(frozen=True)
class Output:
    """An encoded picture, the networks that made it, and the milliseconds of each stage."""

    body: bytes
    format: Format
    model: str
    exact: bool
    milliseconds: Mapping[str, float]


class Backend(Protocol):
    """Processes images concurrently."""

    async def process(self, data: bytes) -> Output:
        """Transform the image file in `data`. Raises RefusedError."""


def concerns_every_picture(code: str, parameter: str | None) -> bool:
    """Return whether every image would be refused. `format=gif` suits animations only, so it is no such error."""
    return code == UnknownModelError.known_code or (code == ParameterError.known_code and parameter != "format")


class ServerBackend:
    """Sends pictures to a server."""

    def __init__(self, client: AsyncClient, operation: Operation) -> None:
        self._client, self._operation = client, operation

    async def process(self, data: bytes) -> Output:
        """Send an image; while the server is full, retry."""
        operation = self._operation
        try:
            if operation.task == "stylize":
                painting = await self._client.stylize(data, operation.what, **operation.parameters)
            else:
                factor: Any = operation.what
                painting = await self._client.upscale(data, factor, **operation.parameters)
        except ImpastoError as error:
            raise refusal_of(error) from error
        kind: Any = painting.format
        return Output(bytes(painting), kind, painting.model, painting.exact, painting.milliseconds)


@asynccontextmanager
async def server_backend(url: str, operation: Operation, key: str | None = None) -> AsyncIterator[Backend]:
    """Yield a backend that uses the client."""
    async with AsyncClient(url, api_key=key) as client:
        yield ServerBackend(client, operation)


def server_models(url: str, key: str | None = None) -> Models | None:
    """Return the models of a server; None for an unexpected response, because the response to an image says more.

    Raises RefusedError if `url` or `key` is malformed, or nothing listens.
    """
    refuse_no_address(url, key)
    try:
        with Client(url, api_key=key, retries=Retries(attempts=2, first_seconds=0.2)) as client:
            return client.models()
    except ConnectionFailedError as error:  # reported at once, although a server that stops later is retried
        raise refusal_of(error) from error
    except ImpastoError:
        return None


def refuse_no_address(url: str, key: str | None) -> None:
    """Raise RefusedError if `url` is no address, or `key` cannot be sent in a header."""
    try:
        base_of(url)
    except ValueError as error:
        raise RefusedError("invalid_address", str(error), everything=True) from error
    try:
        headers_of(None, key)
    except ValueError as error:
        raise RefusedError("invalid_key", str(error), everything=True) from error


def refusal_of(error: ImpastoError) -> RefusedError:
    """Convert an error of the client."""
    code = error.code if isinstance(error, ProblemError) else _code(error)
    wrong = isinstance(error, ProblemError) and concerns_every_picture(error.code, error.parameter)
    return RefusedError(code, str(error), wrong or isinstance(error, _ALWAYS_FATAL))


def _code(error: ImpastoError) -> str:
    return "connection_failed" if isinstance(error, ConnectionFailedError) else "no_answer"
