"""The entity tag of a result. It is known before the result is computed."""

import hashlib
import re
from collections.abc import Iterable

_ENTITY_TAG = re.compile(r'(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)"')


def entity_tag(picture: bytes, *facts: object) -> str:
    """Compute a weak tag from an encoded picture and the facts that the result depends on. Takes 1 s per gigabyte.

    The tag is weak because replicas on different processors may round differently.
    """
    digest = hashlib.sha256(hashlib.sha256(picture).digest())
    for fact in facts:
        digest.update(b"\x00" + repr(fact).encode())
    return f'W/"{digest.hexdigest()[:32]}"'


def matches(etag: str, if_none_match: Iterable[str]) -> bool:
    """Tell whether an If-None-Match header names the tag, by weak comparison (RFC 9110, 8.8.3.2).

    "*" matches nothing: it asks whether a representation exists, and none exists before it is computed.
    """
    opaque = etag.removeprefix("W/").strip('"')
    return any(opaque == named for header in if_none_match for named in _ENTITY_TAG.findall(header))
