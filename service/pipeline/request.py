"""What a client requests, and what it receives."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from nets.pixels import Picture
from service.images.formats import Format
from service.pipeline.parameters import Parameters
from service.storage.location import Location, StoredObject

Charge = Callable[[int], Awaitable[None]]
"""Receives the number of output pixels before they are computed. May raise a ServiceError."""

Sources = tuple[tuple[str, float | None], ...]
"""The networks that made an output, each with its share; None if there is only one."""


async def no_charge(pixels: int) -> None:
    """Count nothing: a Charge for callers without quotas."""


@dataclass(frozen=True)
class TransformRequest:
    """One request. accept: the Accept header. expires: the deadline, on the clock of time.monotonic.

    known_etags: the values of If-None-Match. may_wait: the service was full and has accepted the request all the same,
    so it waits instead of being rejected. owner: the name of the caller's API key. output: the object to which the
    result is written; None: the client receives it.
    """

    parameters: Parameters
    accept: str | None = None
    expires: float | None = None
    known_etags: tuple[str, ...] = ()
    may_wait: bool = False
    owner: str = ""
    output: Location | None = None


@dataclass(frozen=True)
class TransformResult:
    """An encoded output image, the networks that made it, and the milliseconds of each stage.

    exact: False if the statistics of instance norm come from a reduced image. declared: headers that name what could
    not be kept of the input, and what was decided. etag: the entity tag; "" if a network was replaced during the
    request. cached: True if the result comes from the cache. written: the object that has the bytes in place of `body`.
    """

    body: bytes
    format: Format
    exact: bool
    sources: Sources
    declared: Mapping[str, str]
    etag: str
    milliseconds: dict[str, float] = field(default_factory=dict)
    cached: bool = False
    written: StoredObject | None = None

    @property
    def size_bytes(self) -> int:
        """The size of the encoded image, wherever it is."""
        return len(self.body) if self.written is None else self.written.size_bytes

    @property
    def model_names(self) -> str:
        """The networks, with commas, each with its share if there are several; "none" without networks."""
        names = [name if share is None else f"{name};share={share:.3g}" for name, share in self.sources]
        return ", ".join(names) or "none"


@dataclass(frozen=True)
class PixelsResult:
    """Output images, uint8 (H, W, 3), of a request that sent pixels. The other fields are as in TransformResult."""

    pictures: list[Picture]
    exact: bool
    sources: Sources
    milliseconds: dict[str, float]


class NotModified(Exception):  # noqa: N818  # not an error: the client already has the result
    """The client named the entity tag of the result in If-None-Match."""

    def __init__(self, etag: str) -> None:
        super().__init__(etag)
        self.etag = etag
