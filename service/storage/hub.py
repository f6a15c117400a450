"""Checkpoints from a model repository of the Hugging Face Hub, through huggingface_hub.

The library reads its token (HF_TOKEN) from the environment; so is the address of another hub (HF_ENDPOINT).
"""

import asyncio
import hashlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.utils.tqdm import disable_progress_bars

from service import __version__
from service.storage.location import StorageError
from service.storage.source import Listed

_URL = re.compile(r"hf://(\w[\w.-]*/\w[\w.-]*)@(\w[\w.-]*(?:/\w[\w.-]*)*)", re.ASCII)
_COMMIT = re.compile("[0-9a-f]{40}")
_SECONDS = 30.0


@dataclass(frozen=True)
class HubRevision:
    """hf://name@revision. revision: a branch, a tag, or a commit."""

    name: str
    revision: str


def parse_revision(url: str) -> HubRevision:
    """Return the parts of a URL. Raises StorageError."""
    match = _URL.fullmatch(url)
    if match is None or ".." in url:
        raise StorageError("it is malformed; expected hf://org/name@revision")
    return HubRevision(match[1], match[2])


class HubSource:
    """The files of a repository at a revision. A commit is pinned; what it contains cannot change."""

    def __init__(self, named: HubRevision, folder: Path) -> None:
        """folder: for files that are not complete; a later attempt continues with them."""
        self.pinned = _COMMIT.fullmatch(named.revision) is not None
        self._named, self._partial, self._commit = named, folder / ".hub", named.revision
        endpoint = os.environ.get("HF_ENDPOINT") or None
        self._api = HfApi(endpoint=endpoint, library_name="impasto", library_version=__version__)
        disable_progress_bars()

    async def list(self) -> list[Listed]:
        """Return the files of the repository, as the revision is now. Raises StorageError."""
        with _plain_errors():
            name, revision = self._named.name, self._named.revision
            found = await asyncio.to_thread(
                self._api.model_info, name, revision=revision, files_metadata=True, timeout=_SECONDS
            )
        if found.sha is None or (self.pinned and found.sha != revision):
            raise StorageError("the hub describes another commit than the one that is asked for")
        self._commit = found.sha
        return [
            Listed(each.rfilename, each.size or 0, f"sha256:{each.lfs.sha256}" if each.lfs else f"git:{each.blob_id}")
            for each in found.siblings or ()
        ]

    async def copy_to(self, file: Listed, path: Path) -> None:
        """Copy a file, and verify it against the digest in the list. Raises StorageError and OSError."""
        await asyncio.to_thread(self._copy, file, path)

    def _copy(self, file: Listed, path: Path) -> None:
        with _plain_errors():
            found = Path(
                self._api.hf_hub_download(
                    self._named.name, file.name, revision=self._commit, local_dir=self._partial, etag_timeout=_SECONDS
                )
            )
        try:
            kind, _, expected = file.stamp.partition(":")
            if _DIGESTS[kind](found) != expected:
                raise StorageError(f"{file.name}: the hub sent other bytes than those of {file.stamp}")
            found.replace(path)
        finally:
            found.unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _git_digest(path: Path) -> str:
    """Return the name that git has for a file. It is no secret: SHA-1 finds damage, not forgery."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


_DIGESTS: dict[str, Callable[[Path], str]] = {"sha256": _sha256, "git": _git_digest}


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Turn the errors of the library, which show requests, into StorageError."""
    try:
        yield
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise StorageError("the hub has no such model and revision, or they need a token (HF_TOKEN)") from error
    except Exception as error:  # also of the HTTP library below, which differs between versions
        raise StorageError(f"the hub does not respond as expected ({type(error).__name__})") from error
