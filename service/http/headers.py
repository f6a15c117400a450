"""Headers that are read or written in one place: Prefer, Accept, Content-Disposition, and the ones for safety."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

_PREFERENCE = re.compile(r"""([^\s=;,"]+)(?:\s*=\s*(?:"([^"]*)"|([^\s;,"]*)))?(?:\s*;[^,]*)?""")
_LONGEST_WAIT_SECONDS = 3600

_LONGEST_STEM = 80
_UNSAFE = re.compile(r"[^\w.() -]+")
_ASCII_UNSAFE = re.compile(r"[^A-Za-z0-9._() -]+")

_NO_SOURCES = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

SAFETY_HEADERS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Content-Security-Policy": _NO_SOURCES,
}
"""In every response, unless it sets its own. The content security policy is for everything that is not a page."""


def page_policy(scripts: str = "'self'", styles: str = "'self'", images: str = "'self' blob:") -> str:
    """Return the content security policy of a page that loads these sources and connects only to its own server."""
    return (
        f"default-src 'none'; script-src {scripts}; style-src {styles}; img-src {images}; connect-src 'self'; "
        "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


@dataclass(frozen=True)
class Preference:
    """What a Prefer header asks for. wait_seconds: how long the client waits for the result itself; None: not given."""

    respond_async: bool = False
    wait_seconds: int | None = None

    @property
    def applied(self) -> str:
        """The value of Preference-Applied for a 202."""
        return "respond-async" if self.wait_seconds is None else f"respond-async, wait={self.wait_seconds}"


def parse_prefer(headers: Iterable[str]) -> Preference:
    """Parse Prefer (RFC 7240). Of a repeated preference the first counts; unknown and malformed ones are ignored."""
    found: dict[str, str] = {}
    for match in _PREFERENCE.finditer(",".join(headers)):
        found.setdefault(match[1].lower(), match[2] or match[3] or "")
    wait = found.get("wait", "")
    seconds = min(int(wait), _LONGEST_WAIT_SECONDS) if wait.isascii() and wait.isdecimal() and len(wait) < 10 else None
    return Preference("respond-async" in found, seconds)


def content_disposition(uploaded: str | None, label: str, suffix: str) -> str:
    """Build a header value (RFC 6266): "photo.jpg", "mosaic", "png" -> inline; filename="photo-mosaic.png".

    Of the uploaded name, only the last part of its path stays, without its suffix, control characters, quotes,
    separators and leading dots. A name with letters outside of ASCII is sent twice, once without them.
    """
    stem = _safe_stem(uploaded or "")
    name = "-".join(part for part in (stem, _UNSAFE.sub("_", label)) if part)
    full, plain = f"{name}.{suffix}", f"{_ascii(name)}.{suffix}"
    header = f'inline; filename="{plain}"'
    return header if plain == full else f"{header}; filename*=UTF-8''{quote(full, safe='')}"


def _safe_stem(uploaded: str) -> str:
    name = unicodedata.normalize("NFC", uploaded).replace("\\", "/").rpartition("/")[2]
    stem = name.rpartition(".")[0] or name
    return _UNSAFE.sub("_", stem)[:_LONGEST_STEM].strip(" ._-")


def _ascii(name: str) -> str:
    spelled = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return _ASCII_UNSAFE.sub("_", spelled).strip(" ._-") or "picture"
