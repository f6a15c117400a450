"""The query parameters that name objects, and the response to a request whose output was written to one."""

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
        None, description="URL of the object to which the output is written: s3://bucket/key. The response is 201."
    )


class WrittenOutput(BaseModel):
    """An output that was written to object storage."""

    output: str
    bytes: int
    media_type: str


def check_objects(request: Request, query: ObjectParameters, respond_async: bool) -> Location | None:
    """Return where the output goes. Raises ParameterError, also for an input that is not allowed."""
    access = state_of(request).access
    if query.input is not None:
        access.check("input", query.input)
    if query.output is None:
        return None
    if respond_async:
        expected = "no respond-async: a job keeps its result"
        detail = f"query parameter 'output' cannot be used with Prefer: respond-async; expected {expected}"
        raise ParameterError(detail, parameter="output", expected=expected)
    return access.check("output", query.output)


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


async def written(request: Request, result: TransformResult, to: Location) -> JSONResponse:
    """Write an output, and build the response. Raises ParameterError and UnavailableError."""
    media_type = MEDIA_TYPES[result.format]
    await state_of(request).access.write(to, result.body, media_type)
    content = WrittenOutput(output=str(to), bytes=len(result.body), media_type=media_type)
    return JSONResponse(content.model_dump(), 201, headers_of(result))
