"""The header Prefer (RFC 7240), as far as it concerns us: `respond-async` and `wait=10`."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

_PREFERENCE = re.compile(r"""([^\s=;,"]+)(?:\s*=\s*(?:"([^"]*)"|([^\s;,"]*)))?(?:\s*;[^,]*)?""")
_LONGEST_WAIT_SECONDS = 3600


@dataclass(frozen=True)
class Preference:
    """wait_seconds: how long the client would wait for an answer in line; None: it did not say."""

    respond_async: bool = False
    wait_seconds: int | None = None

    @property
    def applied(self) -> str:
        """What Preference-Applied says where the answer comes later."""
        return "respond-async" if self.wait_seconds is None else f"respond-async, wait={self.wait_seconds}"


def parse_prefer(headers: Iterable[str]) -> Preference:
    """Of a preference that is named twice the first counts; what is unknown or malformed is passed over."""
    found: dict[str, str] = {}
    for match in _PREFERENCE.finditer(",".join(headers)):
        found.setdefault(match[1].lower(), match[2] or match[3] or "")
    wait = found.get("wait", "")
    seconds = min(int(wait), _LONGEST_WAIT_SECONDS) if wait.isascii() and wait.isdecimal() and len(wait) < 10 else None
    return Preference("respond-async" in found, seconds)
