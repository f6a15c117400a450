"""The files of the page at "/", in `service/http/web/`: their bytes, media type and entity tag."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

WEB = Path(__file__).parent / "web"
INDEX, EXAMPLE = "index.html", "coffee.jpg"

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
}


@dataclass(frozen=True)
class WebFile:
    """One file of the page, in memory."""

    body: bytes
    media_type: str
    tag: str


def read_pages() -> dict[str, WebFile]:
    """Read all files, by name."""
    files = {}
    for path in sorted(WEB.iterdir()):
        if path.suffix in _TYPES:
            body = path.read_bytes()
            tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
            files[path.name] = WebFile(body, _TYPES[path.suffix], tag)
    return files
