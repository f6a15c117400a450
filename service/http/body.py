"""ASGI messages -> the bytes of the picture: counted while they are read, whatever Content-Length claims."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from service.errors import BodyError, BodyTooLargeError, shown
from service.http.json_body import FIELD, picture_of

JSON = "application/json"
FORM = "multipart/form-data"


@dataclass(frozen=True)
class Upload:
    """A picture as it came, and the file name that the client gave it, which is only a claim."""

    data: bytes
    filename: str | None = None


async def read_picture(request: Request, max_bytes: int) -> Upload:
    """The body as it is, the file in the field `image` of a multipart form, or the base64 in that of a JSON object.

    Raises BodyTooLargeError as soon as more than `max_bytes` are announced or have come, and BodyError for a form or
    an object that is not whole, has no field `image`, or has others that nobody reads.
    """
    _refuse_announced(request, max_bytes)
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type == FORM:
        try:
            return await _read_form(request, max_bytes)
        except ClientDisconnect as error:
            raise _left() from error
    data = await read_body(request, max_bytes)
    return Upload(await asyncio.to_thread(picture_of, data) if content_type == JSON else data)


async def read_body(request: Request, max_bytes: int) -> bytes:
    """The body, whatever it is. Raises BodyTooLargeError as `read_picture` does, and BodyError where it is cut."""
    _refuse_announced(request, max_bytes)
    try:
        return b"".join([chunk async for chunk in _counted(request, max_bytes)])
    except ClientDisconnect as error:
        raise _left() from error


def _refuse_announced(request: Request, max_bytes: int) -> None:
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > max_bytes:
        raise _too_large(f"{shown(announced)} bytes are announced", max_bytes)


def _left() -> BodyError:
    return BodyError("the client left before the body was whole")


async def _counted(request: Request, max_bytes: int) -> AsyncGenerator[bytes, None]:
    count = 0
    async for chunk in request.stream():
        count += len(chunk)
        if count > max_bytes:
            raise _too_large(f"{count} bytes have come and more follow", max_bytes)
        yield chunk


class _InMemoryParser(MultiPartParser):
    """Keeps files in memory: the body's size is bounded, and the file system may be read-only."""

    def __init__(self, request: Request, max_bytes: int) -> None:
        super().__init__(request.headers, _counted(request, max_bytes), max_files=2, max_fields=8)
        self.spool_max_size = max_bytes + 1


async def _read_form(request: Request, max_bytes: int) -> Upload:
    try:
        form = await _InMemoryParser(request, max_bytes).parse()
    except (MultiPartException, KeyError, ValueError) as error:  # a missing boundary is a KeyError
        message = error.message if isinstance(error, MultiPartException) else f"no usable boundary ({error})"
        raise BodyError(f"the multipart form cannot be read: {message}", parameter=FIELD) from error
    try:
        files = form.getlist(FIELD)
        names = [shown(name) for name in sorted(set(form))]
        if len(files) != 1 or not isinstance(files[0], UploadFile):
            raise BodyError(
                f"the multipart form has the fields {names}; expected one file in the field {FIELD!r}",
                parameter=FIELD,
                expected="one file",
            )
        return Upload(await files[0].read(), files[0].filename)
    finally:
        await form.close()


def _too_large(what: str, max_bytes: int) -> BodyTooLargeError:
    return BodyTooLargeError(f"{what}; expected at most {max_bytes}", expected=f"at most {max_bytes} bytes")
