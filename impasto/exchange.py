"""One call with its retries, as a generator of steps that a synchronous or asynchronous client executes."""

import time
from collections.abc import Generator
from dataclasses import dataclass

import httpx

from impasto.errors import ConnectionFailedError, DeadlineError, ServiceTimeoutError, problem_of
from impasto.requests import Request
from impasto.retries import Retries, is_refused_here, retry_after_seconds


@dataclass(frozen=True)
class Send:
    """Send a request and return the response or the httpx error. expires: on the clock of time.monotonic."""

    request: Request
    timeout: httpx.Timeout
    expires: float | None


@dataclass(frozen=True)
class Sleep:
    """Sleep."""

    seconds: float


Step = Send | Sleep
Received = httpx.Response | httpx.RequestError | None
Exchange = Generator[Step, Received, httpx.Response]


def exchange_of(request: Request, retries: Retries, timeout_seconds: float, deadline_seconds: float | None) -> Exchange:
    """Yield steps until a request succeeds, and return its response. Raises ImpastoError for a final error.

    timeout_seconds: longest silence of the service. deadline_seconds: for all attempts, from now on; the service
    receives the remainder.
    """
    expires = None if deadline_seconds is None else time.monotonic() + deadline_seconds
    attempt = 0
    while True:
        attempt += 1
        left = _left(expires)
        timeout = httpx.Timeout(timeout_seconds if left is None else min(timeout_seconds, left))
        received = yield Send(request.within(left), timeout, expires)
        assert received is not None
        if isinstance(received, httpx.Response) and received.is_success:
            return received
        wait = retries.wait_seconds(attempt, received)
        if wait is None or (expires is not None and time.monotonic() + wait >= expires):
            raise _final(received, attempt, expires, timeout_seconds)
        yield Sleep(wait)


def deadline_passed() -> DeadlineError:
    """Return the error for a deadline that has passed by the clock of the client."""
    return DeadlineError(0, "the deadline passed before the response was complete", facts={"parameter": "deadline"})


def read_response(response: httpx.Response, content: bytes) -> httpx.Response:
    """Return a response with its streamed `content`, which is already decoded."""
    gone = {"content-encoding", "content-length", "transfer-encoding"}
    headers = [(name, value) for name, value in response.headers.items() if name.lower() not in gone]
    return httpx.Response(response.status_code, headers=headers, content=content, request=response.request)


def _left(expires: float | None) -> float | None:
    if expires is None:
        return None
    left = expires - time.monotonic()
    if left <= 0:
        raise deadline_passed()
    return left


def _final(
    received: httpx.Response | httpx.RequestError, attempt: int, expires: float | None, timeout: float
) -> Exception:
    if isinstance(received, httpx.Response):
        problem = problem_of(received)
        problem.retry_after = retry_after_seconds(received)
        return problem
    url = received.request.url if received._request is not None else "the service"  # noqa: SLF001  # `request` raises
    if isinstance(received, httpx.TimeoutException) and not isinstance(received, httpx.ConnectTimeout):
        if expires is not None and time.monotonic() >= expires:
            return deadline_passed()
        error: Exception = ServiceTimeoutError(f"{url} was silent for {timeout:g} s")
    else:
        tries = "" if attempt == 1 else f" ({attempt} attempts)"
        hint = "; is the service running?" if is_refused_here(received) else ""
        error = ConnectionFailedError(f"{url}: {received or type(received).__name__}{tries}{hint}")
    error.__cause__ = received
    return error
