"""The body of a request: bytes are counted while they are read, whatever Content-Length says.

ASGI messages --decompress--> bytes --multipart form | JSON | as it is--> Upload
"""

import asyncio
import base64
import binascii
import re
import zlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from email.message import Message

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import ClientDisconnect, Request
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder

from service.errors import BodyError, BodyTooLargeError, UnsupportedImageError, expectation, shown

FIELD = "image"
"""The field of a form or of a JSON object that holds the image."""

JSON = "application/json"
FORM = "multipart/form-data"

EXAMPLE_BASE64 = (
    "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAFUlEQVR42gXBAQEAAACAEP9PF0JQGR7vBPwV2kkwAAAAAElFTkSuQmCC"
)
"""A PNG of two by two pixels."""

_BASE64_EXPECTED = "base64 or base64url (RFC 4648), alone or in a data URL: data:image/png;base64,..."
_DATA_URL = re.compile(r"data:[^,]{0,200};base64,", re.IGNORECASE)
_OTHER_URL = re.compile(r"[a-z][a-z0-9+.-]{1,20}://", re.IGNORECASE)
_PLAIN = str.maketrans("-_", "+/", " \t\r\n")
"""Turns base64url into base64, and removes white space: base64(1) breaks its lines."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_MOST_PARTS = 10
_WINDOW_BITS = {"gzip": zlib.MAX_WBITS | 16, "x-gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}
"""The content codings that are decoded, for zlib."""


@dataclass(frozen=True)
class Upload:
    """An encoded image as it came, and the file name that the client claims."""

    data: bytes
    filename: str | None = None


class _JsonBody(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    image: str


async def read_picture(request: Request, max_bytes: int) -> Upload:
    """Read an image: the file in a multipart form, the base64 in a JSON object, or the body as it is.

    Raises BodyTooLargeError as soon as more than `max_bytes` are announced, received or decompressed. Raises BodyError
    for a form or an object that is incomplete, lacks the field `image`, or has other fields.
    """
    content_type = request.headers.get("content-type", "")
    kind = content_type.partition(";")[0].strip().lower()
    data = await read_body(request, max_bytes)
    if kind == FORM:
        return await asyncio.to_thread(_from_form, data, content_type)
    if kind == JSON:
        return Upload(await asyncio.to_thread(_from_json, data))
    return Upload(data)


async def read_body(request: Request, max_bytes: int) -> bytes:
    """Read the body, decompressed. Raises BodyTooLargeError as `read_picture` does, and BodyError if it is cut off."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > max_bytes:
        raise _too_large(f"{shown(announced)} bytes are announced", max_bytes)
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    try:
        if coding in {"", "identity"}:
            return b"".join([chunk async for chunk in _counted(request, max_bytes)])
        return await _decompressed(request, coding, max_bytes)
    except ClientDisconnect as error:
        raise BodyError("the client disconnected before the body was complete") from error


async def _counted(request: Request, max_bytes: int) -> AsyncGenerator[bytes, None]:
    count = 0
    async for chunk in request.stream():
        count += len(chunk)
        if count > max_bytes:
            raise _too_large(f"{count} bytes have come and more follow", max_bytes)
        yield chunk


async def _decompressed(request: Request, coding: str, max_bytes: int) -> bytes:
    """Decompress while reading; what is held never exceeds `max_bytes` by more than a byte."""
    if coding not in _WINDOW_BITS:
        expected = "gzip, deflate, or no content coding"
        raise UnsupportedImageError(
            f"the body has Content-Encoding {shown(coding)!r}; expected {expected}",
            parameter="Content-Encoding",
            value=shown(coding),
            expected=expected,
        )
    decompressor, body = zlib.decompressobj(_WINDOW_BITS[coding]), bytearray()
    try:
        async for chunk in _counted(request, max_bytes):
            body += decompressor.decompress(chunk, max_bytes + 1 - len(body))
            if len(body) > max_bytes:
                raise _too_large(f"more than {max_bytes} bytes come out of Content-Encoding {coding}", max_bytes)
    except zlib.error as error:
        raise _broken_coding(coding) from error
    if not decompressor.eof or decompressor.unused_data:
        raise _broken_coding(coding)
    return bytes(body)


def _from_form(body: bytes, content_type: str) -> Upload:
    """Find the one part named `image`. Line feeds alone, a preamble and a missing file name are accepted."""
    header = Message()
    header["content-type"] = content_type
    boundary = header.get_boundary()
    if not boundary:
        raise _broken_form("no usable boundary (its Content-Type names none)")
    decoder = MultipartDecoder(boundary.encode("latin-1", errors="replace"), max_parts=_MOST_PARTS)
    decoder.receive_data(body)
    decoder.receive_data(None)
    images, names = [], set()
    part: Field | File | None = None
    content = bytearray()
    try:
        while not isinstance(event := decoder.next_event(), Epilogue):
            if isinstance(event, Field | File):
                part, content = event, bytearray()
                names.add(shown(part.name))
            elif isinstance(event, Data) and part is not None and part.name == FIELD:
                content += event.data
                if not event.more_data:
                    images.append(Upload(bytes(content), getattr(part, "filename", None)))
    except RequestEntityTooLarge as error:
        raise _broken_form(f"it has more than {_MOST_PARTS} parts") from error
    except (ValueError, AttributeError) as error:
        raise _broken_form("a part has no Content-Disposition, or the closing boundary is missing") from error
    if len(images) != 1:
        found = f"{len(images)} parts in the field {FIELD!r}" if images else f"the fields {sorted(names)}"
        raise BodyError(
            f"the multipart form has {found}; expected one file in the field {FIELD!r}",
            parameter=FIELD,
            expected="one file",
        )
    return images[0]


def _from_json(body: bytes) -> bytes:
    """Decode the base64 in a JSON object. The result is smaller than the body, whose size was limited."""
    try:
        text = _JsonBody.model_validate_json(body.removeprefix(_BYTE_ORDER_MARK)).image
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the body"
        wanted = shown(expectation(first["msg"]))
        detail = f'the JSON cannot be read: {shown(where)}: expected {wanted}, as in {{"image": "..."}}'
        raise BodyError(detail, parameter=FIELD, expected=_BASE64_EXPECTED) from error
    if _OTHER_URL.match(text):
        raise _not_base64(text, "is a URL, and nothing is fetched here")
    start = _DATA_URL.match(text)
    if start is None and text[:5].lower() == "data:":
        raise _not_base64(text, "is a data URL without ;base64")
    try:
        data = text[start.end() if start else 0 :].translate(_PLAIN)
        padding = "" if data.endswith("=") else "=" * (-len(data) % 4)  # base64url often omits it
        return base64.b64decode(data + padding, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _not_base64(text, f"is not base64 ({error})") from error


def _not_base64(text: str, why: str) -> BodyError:
    return BodyError(
        f"the field {FIELD!r} {why}; expected {_BASE64_EXPECTED}",
        parameter=FIELD,
        value=shown(text[:60]),
        expected=_BASE64_EXPECTED,
    )


def _broken_form(why: str) -> BodyError:
    return BodyError(f"the multipart form cannot be read: {why}", parameter=FIELD)


def _broken_coding(coding: str) -> BodyError:
    expected = f"a complete body in {coding}, or no Content-Encoding"
    return BodyError(
        f"the body is not what its Content-Encoding {coding!r} says, or it is incomplete; expected {expected}",
        parameter="Content-Encoding",
        value=coding,
        expected=expected,
    )


def _too_large(what: str, max_bytes: int) -> BodyTooLargeError:
    return BodyTooLargeError(f"{what}; expected at most {max_bytes}", expected=f"at most {max_bytes} bytes")
