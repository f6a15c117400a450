"""The address of the service, and the headers of every call."""

import os
from collections.abc import Mapping

import httpx

from impasto.requests import user_agent

SERVER_VARIABLE = "IMPASTO_SERVER"
KEY_VARIABLE = "IMPASTO_KEY"
DEFAULT_URL = "http://localhost:8000"
DEFAULT_TIMEOUT_SECONDS = 120.0


def base_of(url: str | None) -> str:
    """Return the address without a slash at its end. Raises ValueError for anything else than an address."""
    given = url if url is not None else os.environ.get(SERVER_VARIABLE) or DEFAULT_URL
    expected = f"expected an address such as {DEFAULT_URL}"
    try:
        parsed = httpx.URL(given)
    except httpx.InvalidURL as error:
        raise ValueError(f"{given!r} is no address ({error}); {expected}") from error
    if parsed.scheme not in {"http", "https"} or not parsed.host or parsed.query or parsed.fragment:
        raise ValueError(f"{given!r} is no address of a service; {expected}")
    return given.rstrip("/")


def headers_of(given: Mapping[str, str] | None, key: str | None = None) -> dict[str, str]:
    """Return the headers of every call. Those that are given take precedence.

    key: by default that of the environment variable IMPASTO_KEY. Raises ValueError for a key that no header can hold.
    """
    headers = {"User-Agent": user_agent(), "Content-Type": "application/octet-stream"}
    key = key if key is not None else os.environ.get(KEY_VARIABLE)
    if key:
        if not key.isascii() or not key.isprintable() or " " in key:
            raise ValueError("the key has blanks, or characters that no header can hold; is there a line break in it?")
        headers["Authorization"] = f"Bearer {key}"
    own = {name.lower() for name in given or {}}
    return {name: value for name, value in headers.items() if name.lower() not in own} | dict(given or {})


def is_ready(received: httpx.Response | httpx.RequestError | None) -> bool:
    """Return whether this is the response of a service that accepts pictures."""
    return isinstance(received, httpx.Response) and received.status_code == httpx.codes.OK
