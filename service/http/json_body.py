"""{"image": "<base64 or data URL>"} -> the bytes of the picture. A URL of anything else is not fetched."""

import base64
import binascii
import re

from pydantic import BaseModel, ConfigDict, ValidationError

from service.errors import BodyError, shown

FIELD = "image"

EXAMPLE_BASE64 = (
    "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAFUlEQVR42gXBAQEAAACAEP9PF0JQGR7vBPwV2kkwAAAAAElFTkSuQmCC"
)
"""A PNG of two by two pixels."""

_EXPECTED = "base64 or base64url (RFC 4648), alone or in a data URL: data:image/png;base64,..."
_DATA_URL = re.compile(r"data:[^,]{0,200};base64,", re.IGNORECASE)
_FETCHABLE = re.compile(r"[a-z][a-z0-9+.-]{1,20}://", re.IGNORECASE)
_PLAIN = str.maketrans("-_", "+/", " \t\r\n")
"""base64url as base64, without white space: base64(1) breaks its lines."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class JsonPicture(BaseModel):
    """The body of a JSON client."""

    model_config = ConfigDict(extra="forbid", strict=True)

    image: str


def picture_of(body: bytes) -> bytes:
    """Read a JSON body; its size was limited before, and what comes out is smaller. Raises BodyError."""
    try:
        text = JsonPicture.model_validate_json(body.removeprefix(_BYTE_ORDER_MARK)).image
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the body"
        detail = f'the JSON cannot be read: {shown(where)}: {shown(first["msg"])}; expected {{"image": "..."}}'
        raise BodyError(detail, parameter=FIELD, expected=_EXPECTED) from error
    if _FETCHABLE.match(text):
        raise _wrong(text, "is a URL, and nothing is fetched here")
    start = _DATA_URL.match(text)
    if start is None and text[:5].lower() == "data:":
        raise _wrong(text, "is a data URL without ;base64")
    try:
        data = text[start.end() if start else 0 :].translate(_PLAIN)
        padding = "" if data.endswith("=") else "=" * (-len(data) % 4)  # base64url often leaves it out
        return base64.b64decode(data + padding, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _wrong(text, f"is not base64 ({error})") from error


def _wrong(text: str, why: str) -> BodyError:
    return BodyError(
        f"the field {FIELD!r} {why}; expected {_EXPECTED}", parameter=FIELD, value=shown(text[:60]), expected=_EXPECTED
    )
