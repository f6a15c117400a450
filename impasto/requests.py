"""What is asked of the service, before it is sent."""

from dataclasses import dataclass, field, replace

from impasto.version import __version__

_LONGEST_DEADLINE_MS = 3_600_000


def user_agent() -> str:
    """What the client calls itself."""
    return f"impasto-python/{__version__}"


@dataclass(frozen=True)
class Ask:
    """A request. path: below the service's address. query: of names and texts. content: the body."""

    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    content: bytes | None = None

    def within(self, seconds: float | None) -> "Ask":
        """The same, with what is left of the deadline, where there is one and the service would heed it."""
        if seconds is None or self.content is None:
            return self
        milliseconds = min(_LONGEST_DEADLINE_MS, max(1, int(seconds * 1000)))
        return replace(self, query={**self.query, "deadline_ms": str(milliseconds)})


def picture(path: str, query: dict[str, str], content: bytes) -> Ask:
    """POST a picture."""
    return Ask("POST", path, query, content)
