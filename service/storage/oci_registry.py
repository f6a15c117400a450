"""An OCI registry over HTTPS: manifests and blobs, each checked against its digest.

A registry that asks for an account is not supported: nothing reads docker's config.json. A public one may ask for an
anonymous token. Plain HTTP is used on the loopback address only.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import httpx

from service.storage.location import StorageError

_REFERENCE = re.compile(
    r"oci://((?:[\w.-]+|\[[\da-f:]+\])(?::\d+)?)/([a-z0-9]+(?:(?:[./]|_{1,2}|-+)[a-z0-9]+)*)"
    r"(?::(\w[\w.-]{0,127}))?(?:@(sha256:[0-9a-f]{64}))?",
    re.ASCII,
)
_LOOPBACK = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")
_ACCEPT = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
_MANIFEST_BYTES, _SECONDS = 4 * 2**20, 30.0
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True)
class Reference:
    """oci://host/name:tag or oci://host/name@digest. wanted: the tag, or the digest if there is one."""

    host: str
    name: str
    wanted: str

    @property
    def pinned(self) -> bool:
        """Whether it names one content for ever."""
        return self.wanted.startswith("sha256:")

    @property
    def address(self) -> str:
        """The URL below which the registry has the repository."""
        return f"{'http' if _LOOPBACK.fullmatch(self.host) else 'https'}://{self.host}/v2/{self.name}"


def parse_reference(url: str) -> Reference:
    """Return the parts of a URL. Raises StorageError."""
    match = _REFERENCE.fullmatch(url)
    if match is None or not (match[3] or match[4]):
        raise StorageError("it is malformed; expected oci://host/name:tag or oci://host/name@sha256:DIGEST")
    return Reference(match[1], match[2], match[4] or match[3])


class Repository:
    """One repository of a registry. Every method raises StorageError if the registry does not deliver."""

    def __init__(self, reference: Reference) -> None:
        self._reference, self._token = reference, ""

    async def manifest(self) -> bytes:
        """Return the manifest that the reference names now."""
        async with self._get(f"/manifests/{self._reference.wanted}", Accept=_ACCEPT) as response:
            text = b"".join([chunk async for chunk in _bounded(response, _MANIFEST_BYTES)])
        if self._reference.pinned and f"sha256:{hashlib.sha256(text).hexdigest()}" != self._reference.wanted:
            raise StorageError("the manifest does not have the digest of the reference")
        return text

    async def download(self, digest: str, size_bytes: int, path: Path) -> None:
        """Write a blob to a file, which is not to be used after an error. Raises OSError, too."""
        found = hashlib.sha256()
        async with self._get(f"/blobs/{digest}") as response:
            with path.open("wb") as file:
                async for chunk in _bounded(response, size_bytes):
                    found.update(chunk)
                    await asyncio.to_thread(file.write, chunk)
        if f"sha256:{found.hexdigest()}" != digest:
            raise StorageError(f"the registry sent other bytes than those of {digest}")

    @asynccontextmanager
    async def _get(self, path: str, **headers: str) -> AsyncIterator[httpx.Response]:
        """Open a response of the registry, with an anonymous token if it asks for one."""
        try:
            async with httpx.AsyncClient(follow_redirects=True, timeout=_SECONDS) as client:
                response = await self._send(client, path, headers)
                if response.status_code == 401:
                    self._token = await _anonymous_token(client, response.headers.get("WWW-Authenticate", ""))
                    response = await self._send(client, path, headers)
                if response.status_code != 200:
                    _refuse(response.status_code)
                yield response
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise StorageError(f"the registry does not respond as expected ({type(error).__name__})") from error

    async def _send(self, client: httpx.AsyncClient, path: str, headers: dict[str, str]) -> httpx.Response:
        given = headers | ({"Authorization": f"Bearer {self._token}"} if self._token else {})
        request = client.build_request("GET", f"{self._reference.address}{path}", headers=given)
        return await client.send(request, stream=True)  # the client closes it


async def _bounded(response: httpx.Response, most_bytes: int) -> AsyncIterator[bytes]:
    count = 0
    async for chunk in response.aiter_bytes():
        count += len(chunk)
        if count > most_bytes:
            raise StorageError(f"the registry sent more than {most_bytes} bytes")
        yield chunk


async def _anonymous_token(client: httpx.AsyncClient, challenge: str) -> str:
    found = dict(_CHALLENGE.findall(challenge))
    if not challenge.lower().startswith("bearer ") or "realm" not in found:
        _refuse(401)
    response = await client.get(found.pop("realm"), params=found)
    try:
        answer = response.raise_for_status().json()
        return str(answer.get("token") or answer["access_token"])
    except (httpx.HTTPStatusError, ValueError, KeyError, AttributeError):
        _refuse(401)


def _refuse(status: int) -> NoReturn:
    if status in {401, 403}:
        raise StorageError("the registry asks for an account; expected a public artefact")
    if status == 404:
        raise StorageError("the registry has no such artefact")
    raise StorageError(f"the registry answered {status}; expected 200")
