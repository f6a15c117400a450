"""What clients may read and write: objects below the prefixes that the operator allows."""

from typing import TYPE_CHECKING

from service.errors import BodyTooLargeError, ParameterError, StartupError, UnavailableError, shown
from service.settings import PREFIX, Settings
from service.storage.location import (
    Location,
    StorageError,
    StoredObject,
    TooLargeError,
    parse_location,
    parse_prefixes,
)

if TYPE_CHECKING:  # it needs an optional extra
    from service.storage.objects import Objects

_RETRY_AFTER = {"Retry-After": "5"}


class Access:
    """Reads inputs and writes outputs by URL. objects: None if neither is allowed."""

    def __init__(
        self, inputs: tuple[Location, ...], outputs: tuple[Location, ...], objects: "Objects | None", most_bytes: int
    ) -> None:
        """most_bytes: of an input."""
        self._prefixes, self._objects, self._most_bytes = {"input": inputs, "output": outputs}, objects, most_bytes

    def check(self, name: str, url: str) -> Location:
        """Return the object that the parameter `name` names. Raises ParameterError."""
        try:
            location = parse_location(url)
        except StorageError as error:
            raise _refused(name, url, str(error), "s3://bucket/key, gs://bucket/key or file:///path") from error
        if location.key.endswith("/") or not location.key:
            raise _refused(name, url, "it is a folder", "an object: s3://bucket/key")
        if not any(_is_below(location, prefix) for prefix in self._prefixes[name]):
            raise _refused(name, url, "it is not allowed", f"a prefix of {PREFIX}{name.upper()}_PREFIXES")
        return location

    async def read(self, location: Location) -> bytes:
        """Return an input. Raises ParameterError, BodyTooLargeError and UnavailableError."""
        assert self._objects is not None
        try:
            return await self._objects.read(location, self._most_bytes)
        except TooLargeError as error:
            expected = f"at most {self._most_bytes} bytes"
            raise BodyTooLargeError(f"query parameter 'input': {error}", expected=expected) from error
        except StorageError as error:
            raise _failed("input", location, error) from error

    async def write(self, location: Location, data: bytes, media_type: str) -> StoredObject:
        """Write an output. Raises ParameterError and UnavailableError.

        The location is checked again: another replica, with other settings, may have accepted a job.
        """
        self.check("output", str(location))
        assert self._objects is not None
        try:
            return await self._objects.write(location, data, media_type)
        except StorageError as error:
            raise _failed("output", location, error) from error


def access_from_settings(settings: Settings) -> Access:
    """Return what the settings allow. Raises StartupError."""
    found: dict[str, tuple[Location, ...]] = {}
    for name, text in (("INPUT_PREFIXES", settings.input_prefixes), ("OUTPUT_PREFIXES", settings.output_prefixes)):
        try:
            found[name] = parse_prefixes(text)
        except ValueError as error:
            raise StartupError(f"{PREFIX}{name}={error}: expected s3://bucket/folder/, with commas") from error
    objects: Objects | None = None
    if any(found.values()):
        try:
            from service.storage.objects import Objects as Made  # noqa: PLC0415  # needs an optional extra
        except ImportError as error:
            needed = "needs the package obstore: pip install 'impasto[storage]'"
            raise StartupError(f"{PREFIX}INPUT_PREFIXES and {PREFIX}OUTPUT_PREFIXES: {needed}") from error
        objects = Made()
    return Access(found["INPUT_PREFIXES"], found["OUTPUT_PREFIXES"], objects, settings.max_body_bytes)


def _is_below(location: Location, prefix: Location) -> bool:
    return location.root == prefix.root and location.key.startswith(prefix.key)


def _refused(name: str, url: str, why: str, expected: str) -> ParameterError:
    detail = f"query parameter {name!r} is {shown(url)!r}: {why}; expected {expected}"
    return ParameterError(detail, parameter=name, value=shown(url), expected=expected)


def _failed(name: str, location: Location, error: StorageError) -> ParameterError | UnavailableError:
    if error.client:
        expected = "an object that exists" if name == "input" else "an object in a folder"
        return _refused(name, str(location), str(error), expected)
    return UnavailableError(f"query parameter {name!r} is {shown(location)!r}: {error}", _RETRY_AFTER)
