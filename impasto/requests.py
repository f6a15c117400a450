"""A request before it is sent."""

from dataclasses import dataclass, field, replace

from impasto.version import __version__

_LONGEST_DEADLINE_MS = 3_600_000


def user_agent() -> str:
    """Return the User-Agent of the client."""
    return f"impasto-python/{__version__}"


@dataclass(frozen=True)
class Request:
    """A request. path: relative to the address of the service. query: names and values. content: the body."""

    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    content: bytes | None = None

    def within(self, seconds: float | None) -> "Request":
        """Return the request with the rest of the deadline, if there is one and the request has a body."""
        if seconds is None or self.content is None:
            return self
        milliseconds = min(_LONGEST_DEADLINE_MS, max(1, int(seconds * 1000)))
        return replace(self, query={**self.query, "deadline_ms": str(milliseconds)})


def picture(path: str, query: dict[str, str], content: bytes) -> Request:
    """Return a POST request with an image."""
    return Request("POST", path, query, content)
