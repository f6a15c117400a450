"""The query parameters that name objects, and the response to a request whose output was written to one."""

from urllib.parse import quote

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse

from service.errors import ParameterError
from service.http.body import Upload, read_body, read_picture
from service.http.routes.responses import headers_of
from service.http.state import state_of
from service.images.formats import MEDIA_TYPES
from service.pipeline.request import TransformResult
from service.storage.location import Location


class ObjectParameters(BaseModel):
    """Where the image comes from, and where the output goes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: str | None = Field(
        None, description="URL of the image in object storage, in place of a body: s3://bucket/key."
    )
    output: str | None = Field(
        None,
        description="URL of the object to which the output is written: s3://bucket/key. The response is 201, without "
        "the image; with respond-async, the job says when it is written.",
    )


class WrittenOutput(BaseModel):
    """An output that was written to object storage."""

    output: str = Field(description="URL of the object.")
    bytes: int
    media_type: str
    etag: str | None = Field(None, description="What the store calls this version of the object.")


WRITTEN = {"application/json": {"schema": WrittenOutput.model_json_schema()}}


def check_objects(request: Request, query: ObjectParameters) -> Location | None:
    """Return where the output goes. Raises ParameterError, also for an input that is not allowed."""
    access = state_of(request).access
    if query.input is not None:
        access.check("input", query.input)
    return None if query.output is None else access.check("output", query.output)


async def read_upload(request: Request, query: ObjectParameters) -> Upload:
    """Read the image: the body, or the object. Raises what is wrong with it."""
    state = state_of(request)
    if query.input is None:
        return await read_picture(request, state.settings.max_body_bytes)
    if await read_body(request, state.settings.max_body_bytes):
        expected = "an empty body, or no input"
        raise ParameterError(f"query parameter 'input': there is a body, too; expected {expected}", parameter="input")
    location = state.access.check("input", query.input)
    return Upload(await state.access.read(location), location.key.rpartition("/")[2])


def written_response(result: TransformResult, status: int = 201) -> JSONResponse:
    """Build the response to a request whose output was written to an object."""
    stored = result.written
    assert stored is not None
    to, media_type = str(stored.location), MEDIA_TYPES[result.format]
    content = WrittenOutput(output=to, bytes=stored.size_bytes, media_type=media_type, etag=stored.etag or None)
    headers = {**headers_of(result), "Location": quote(to, safe="/:")}
    return JSONResponse(content.model_dump(exclude_none=True), status, headers)
