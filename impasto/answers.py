"""What comes back: a painting, or what the service has."""

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
    """An encoded picture: its bytes, and what the service said of it.

    format: "jpeg", "png", ... model: what made it: "stylize/mosaic@sha256:...". exact: whether it is the whole
    picture's, or statistics come from a reduced one. milliseconds: of each stage. request_id: what the service's log
    calls it. headers: all that were there, by lower-case name.
    """

    format: str
    model: str
    exact: bool
    milliseconds: Mapping[str, float]
    request_id: str | None
    headers: Mapping[str, str]

    @classmethod
    def of(cls, response: httpx.Response) -> "Painting":
        """Read a success. Raises ProblemError where it is no picture, for then it is another service's."""
        headers = dict(response.headers)
        kind = headers.get("content-type", "").partition(";")[0]
        if not kind.startswith("image/"):
            detail = f"{response.url} answered with {kind or 'no type'}; expected a picture: is it an Impasto service?"
            raise ProblemError(response.status_code, detail)
        painting = cls(response.content)
        painting.format = kind.removeprefix("image/")
        painting.model = headers.get("impasto-model", "")
        painting.exact = headers.get("impasto-exact") != "false"
        painting.milliseconds = {name: float(ms) for name, ms in _STAGE.findall(headers.get("server-timing", ""))}
        painting.request_id, painting.headers = headers.get("x-request-id"), headers
        return painting

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the bytes to a file, which is theirs whatever its ending says."""
        Path(path).write_bytes(self)

    def image(self) -> "Image":
        """As an image of Pillow's, which must be installed."""
        return image_of(self)

    def __repr__(self) -> str:
        return f"<Painting: {len(self)} bytes of {self.format}, made by {self.model}>"


@dataclass(frozen=True)
class Model:
    """A network that is served. key: "stylize/mosaic". scale: how many times as long it makes each side."""

    key: str
    task: str
    name: str
    version: str
    scale: int
    loaded: bool


@dataclass(frozen=True)
class Refused:
    """A checkpoint file that the service does not serve, and why."""

    file: str
    reason: str


@dataclass(frozen=True)
class Models:
    """What GET /models says; goes through those that are served. raw: the document as it came."""

    served: tuple[Model, ...]
    refused: tuple[Refused, ...]
    raw: dict[str, Any] = field(repr=False)

    @classmethod
    def of(cls, response: httpx.Response) -> "Models":
        """Read a success. Raises ProblemError where it is not this document."""
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
        """What `stylize` takes."""
        return [model.name for model in self.served if model.task == "stylize"]

    @property
    def factors(self) -> list[int]:
        """Of the networks for `upscale`; it takes any number from 1 to the largest."""
        return sorted({model.scale for model in self.served if model.task == "upscale"})


def json_of(response: httpx.Response) -> dict[str, Any]:
    """The object in a success. Raises ProblemError where there is none."""
    try:
        raw = response.json()
    except ValueError as error:
        raise _not_ours(response) from error
    if not isinstance(raw, dict):
        raise _not_ours(response)
    return raw


def _not_ours(response: httpx.Response) -> ProblemError:
    return ProblemError(response.status_code, f"{response.url} answered with something else: is it an Impasto service?")
