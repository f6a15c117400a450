"""What an answer is called when it is saved: made of the client's own file name, as far as that is harmless."""

import re
import unicodedata
from urllib.parse import quote

_LONGEST = 80
_UNSAFE = re.compile(r"[^\w.() -]+")
_ASCII_UNSAFE = re.compile(r"[^A-Za-z0-9._() -]+")


def content_disposition(uploaded: str | None, what: str, suffix: str) -> str:
    """A header value (RFC 6266): "photo.jpg", "mosaic", "png" -> inline; filename="photo-mosaic.png".

    Of the client's name the last part of its path is kept, without its ending, control characters, quotes, separators
    and leading dots; with letters outside of ASCII it comes twice, once without them.
    """
    stem = _safe_stem(uploaded or "")
    name = "-".join(part for part in (stem, _UNSAFE.sub("_", what)) if part)
    full, plain = f"{name}.{suffix}", f"{_ascii(name)}.{suffix}"
    header = f'inline; filename="{plain}"'
    return header if plain == full else f"{header}; filename*=UTF-8''{quote(full, safe='')}"


def _safe_stem(uploaded: str) -> str:
    name = unicodedata.normalize("NFC", uploaded).replace("\\", "/").rpartition("/")[2]
    stem = name.rpartition(".")[0] or name
    return _UNSAFE.sub("_", stem)[:_LONGEST].strip(" ._-")


def _ascii(name: str) -> str:
    spelled = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return _ASCII_UNSAFE.sub("_", spelled).strip(" ._-") or "picture"
