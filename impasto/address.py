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
    """Return the address without a trailing slash. Raises ValueError if it is not an address."""
    given = url if url is not None else os.environ.get(SERVER_VARIABLE) or DEFAULT_URL
    expected = f"expected an address such as {DEFAULT_URL}"
    try:
        parsed = httpx.URL(given)
    except httpx.InvalidURL as error:
        raise ValueError(f"{given!r} is not an address ({error}); {expected}") from error
    if parsed.scheme not in {"http", "https"} or not parsed.host or parsed.query or parsed.fragment:
        raise ValueError(f"{given!r} is not the address of a service; {expected}")
    return given.rstrip("/")


def headers_of(given: Mapping[str, str] | None, key: str | None = None) -> dict[str, str]:
    """Return the headers of every call; `given` overrides them.

    key: the API key; default: the environment variable IMPASTO_KEY. Raises ValueError if a header cannot hold the key.
    """
    headers = {"User-Agent": user_agent(), "Content-Type": "application/octet-stream"}
    key = key if key is not None else os.environ.get(KEY_VARIABLE)
    if key:
        if not key.isascii() or not key.isprintable() or " " in key:
            raise ValueError("the key has blanks or characters that a header cannot hold; check for a line break")
        headers["Authorization"] = f"Bearer {key}"
    own = {name.lower() for name in given or {}}
    return {name: value for name, value in headers.items() if name.lower() not in own} | dict(given or {})


def is_ready(received: httpx.Response | httpx.RequestError | None) -> bool:
    """Return whether the response says that the service accepts images."""
    return isinstance(received, httpx.Response) and received.status_code == httpx.codes.OK
