"""The images of a source that are still to be processed."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from service.cli.bulk.manifest import Done
from service.cli.bulk.places import Found, Place
from service.cli.files import is_picture_name

_MOST_BYTES = 2**23
"""A batch ends when its files have as many bytes, so that large photographs make small batches."""


@dataclass(frozen=True)
class Listing:
    """The images of a source in a fixed order. leave_out: a folder in it that receives the outputs, or ""."""

    source: Place
    leave_out: str

    async def images(self) -> AsyncIterator[Found]:
        """Yield all images. Raises OSError and StorageError."""
        async for found in self.source.list(self.leave_out):
            if is_picture_name(found.name):
                yield found

    async def batches(self, done: Done, most: int) -> AsyncIterator[list[Found]]:
        """Yield the images that are not done, at most `most` at once."""
        batch: list[Found] = []
        async for found in self.images():
            if found not in done:
                batch.append(found)
                if len(batch) == most or sum(each.bytes for each in batch) >= _MOST_BYTES:
                    yield batch
                    batch = []
        if batch:
            yield batch
