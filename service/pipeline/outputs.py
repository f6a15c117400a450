"""Outputs that are written to object storage, instead of being sent to the client."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from service.images.formats import MEDIA_TYPES
from service.pipeline.request import TransformRequest, TransformResult
from service.storage.location import Location, StoredObject

Write = Callable[[Location, bytes, str], Awaitable[StoredObject]]
"""Writes an object of a media type: `Access.write`."""


async def write_output(request: TransformRequest, result: TransformResult, write: Write) -> TransformResult:
    """Write a result where its request wants it, and return it without its bytes. Raises what `write` raises."""
    if request.output is None:
        return result
    written = await write(request.output, result.body, MEDIA_TYPES[result.format])
    return replace(result, body=b"", written=written)
