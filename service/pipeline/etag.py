"""The entity tag of an answer that was not made yet: by the picture, what is asked of it, and what would make it."""

import hashlib
import re
from collections.abc import Iterable

_ENTITY_TAG = re.compile(r'(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)"')


def entity_tag(picture: bytes, *facts: object) -> str:
    """A weak tag: another picture, another fact, another tag. Takes a second per gigabyte.

    Weak, since replicas on different processors may round differently.
    """
    digest = hashlib.sha256(hashlib.sha256(picture).digest())
    for fact in facts:
        digest.update(b"\x00" + repr(fact).encode())
    return f'W/"{digest.hexdigest()[:32]}"'


def is_named(tag: str, if_none_match: Iterable[str]) -> bool:
    """Whether an If-None-Match header names the tag, by weak comparison (RFC 9110, 8.8.3.2).

    "*" names no picture: it asks whether there is one, and there is none before it is made.
    """
    opaque = tag.removeprefix("W/").strip('"')
    return any(opaque == named for header in if_none_match for named in _ENTITY_TAG.findall(header))
