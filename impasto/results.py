"""What the service returns: an output image, or the list of its models."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from impasto.errors import ProblemError
from impasto.pictures import image_of

if TYPE_CHECKING:
    from PIL.Image import Image

_STAGE = re.compile(r"([\w-]+);dur=([0-9.]+)")


class Painting(bytes):
    """The bytes of an output image, with what the service reported about it.

    format: "jpeg", "png", ... model: the network that made it, "stylize/mosaic@sha256:...". exact: False if the
    normalisation statistics come from a reduced image. source: of an enlarged image, "photo" or "clean", as the service
    has treated it; else None. milliseconds: by stage. request_id: as in the log of the service. headers: all response
    headers by lower-case name.
    """

    format: str
    model: str
    exact: bool
    source: str | None
    milliseconds: Mapping[str, float]
    request_id: str | None
    headers: Mapping[str, str]

    @classmethod
    def of(cls, response: httpx.Response) -> "Painting":
        """Read a successful response. Raises ProblemError if it is not an image, as from another service."""
        headers = dict(response.headers)
        kind = headers.get("content-type", "").partition(";")[0]
        if not kind.startswith("image/"):
            detail = (
                f"{response.url} returned {kind or 'no content type'}; expected an image. Is it an Impasto service?"
            )
            raise ProblemError(response.status_code, detail)
        painting = cls(response.content)
        painting.format = kind.removeprefix("image/")
        painting.model = headers.get("impasto-model", "")
        painting.exact = headers.get("impasto-exact") != "false"
        painting.source = headers.get("impasto-source")
        painting.milliseconds = {name: float(ms) for name, ms in _STAGE.findall(headers.get("server-timing", ""))}
        painting.request_id, painting.headers = headers.get("x-request-id"), headers
        return painting

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the bytes to a file, whatever its suffix."""
        Path(path).write_bytes(self)

    def image(self) -> "Image":
        """Return a Pillow image. Pillow must be installed."""
        return image_of(self)

    def __repr__(self) -> str:
        return f"<Painting: {len(self)} bytes of {self.format}, made by {self.model}>"


@dataclass(frozen=True)
class Model:
    """A served network. key: "stylize/mosaic". scale: the factor by which each side grows."""

    key: str
    task: str
    name: str
    version: str
    scale: int
    loaded: bool


@dataclass(frozen=True)
class Refused:
    """A checkpoint file that the service refused, with the reason."""

    file: str
    reason: str


@dataclass(frozen=True)
class Models:
    """The response of GET /models; iterates over the served models. raw: the JSON document."""

    served: tuple[Model, ...]
    refused: tuple[Refused, ...]
    raw: dict[str, Any] = field(repr=False)

    @classmethod
    def of(cls, response: httpx.Response) -> "Models":
        """Read a successful response. Raises ProblemError if it is another document."""
        raw = json_of(response)
        try:
            served = tuple(
                Model(each["model"], each["task"], each["name"], each["version"], each["scale"], each["loaded"])
                for each in raw["models"]
            )
            return cls(served, tuple(Refused(each["file"], each["reason"]) for each in raw["refused"]), raw)
        except (KeyError, TypeError) as error:
            raise _not_ours(response) from error

    def __iter__(self) -> Iterator[Model]:
        return iter(self.served)

    def __len__(self) -> int:
        return len(self.served)

    @property
    def styles(self) -> list[str]:
        """Return the names of the styles."""
        return [model.name for model in self.served if model.task == "stylize"]

    @property
    def factors(self) -> list[int]:
        """Return the factors of the upscalers; `upscale` accepts any number from 1 to the largest."""
        return sorted({model.scale for model in self.served if model.task == "upscale"})


def json_of(response: httpx.Response) -> dict[str, Any]:
    """Return the JSON object of a successful response. Raises ProblemError if there is none."""
    try:
        raw = response.json()
    except ValueError as error:
        raise _not_ours(response) from error
    if not isinstance(raw, dict):
        raise _not_ours(response)
    return raw


def _not_ours(response: httpx.Response) -> ProblemError:
    return ProblemError(response.status_code, f"{response.url} returned something else. Is it an Impasto service?")
