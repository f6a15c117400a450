"""What a client asks for, and what it gets."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from service.images.formats import Format
from service.images.types import MetadataPolicy, ProfilePolicy
from service.pipeline.parameters import Knobs

Charge = Callable[[int], Awaitable[None]]
"""Is told the pixels of an answer before it is computed, and may raise a ServiceError."""


async def free(pixels: int) -> None:  # a Charge
    """Pixels cost nothing."""


@dataclass(frozen=True)
class Asked:
    """What a client wants. expires: on the clock of time.monotonic. if_none_match: the tags of what it has already.

    patient: whether it waits where the service is full, rather than being refused: it was accepted before. owner: the
    name of the key that asks.
    """

    knobs: Knobs
    format: Format | None = None
    accept: str | None = None
    quality: int | None = None
    profile: ProfilePolicy = "keep"
    metadata: MetadataPolicy = "strip"
    expires: float | None = None
    if_none_match: tuple[str, ...] = ()
    patient: bool = False
    owner: str = ""


@dataclass(frozen=True)
class Answer:
    """An encoded picture, what made it, and the milliseconds of each stage.

    exact: whether it is the whole picture's, or instance norm's statistics come from a reduced one. sources: the
    networks that made it, with their shares. declared: headers that tell what of the picture was not, or could not be,
    kept. tag: its entity tag; "" where a network was swapped while it was made. cached: whether it was kept from
    before.
    """

    body: bytes
    format: Format
    exact: bool
    sources: tuple[tuple[str, float | None], ...]
    declared: Mapping[str, str]
    tag: str
    milliseconds: dict[str, float] = field(default_factory=dict)
    cached: bool = False


@dataclass(frozen=True)
class NotModified:
    """The client has the answer already: it named its tag."""

    tag: str
