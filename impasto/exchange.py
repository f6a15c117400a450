"""One call, with its further attempts: what to do next, said to whoever does it, who waits or is awaited."""

import time
from collections.abc import Generator
from dataclasses import dataclass

import httpx

from impasto.errors import ConnectionFailedError, DeadlineError, ServiceTimeoutError, problem_of
from impasto.requests import Ask
from impasto.retries import Retries, is_refused_here, retry_after_seconds


@dataclass(frozen=True)
class Send:
    """Send this; go on with the answer or with httpx's error. expires: on the clock of time.monotonic."""

    ask: Ask
    timeout: httpx.Timeout
    expires: float | None


@dataclass(frozen=True)
class Sleep:
    """Do nothing for so long."""

    seconds: float


Step = Send | Sleep
Came = httpx.Response | httpx.RequestError | None
Conversation = Generator[Step, Came, httpx.Response]


def converse(ask: Ask, retries: Retries, timeout_seconds: float, deadline_seconds: float | None) -> Conversation:
    """Until there is a success, which is returned, or an error that is final. Raises ImpastoError.

    timeout_seconds: how long the service may say nothing. deadline_seconds: for all of it, from now on; the service is
    told what is left.
    """
    expires = None if deadline_seconds is None else time.monotonic() + deadline_seconds
    attempt = 0
    while True:
        attempt += 1
        left = _left(expires)
        timeout = httpx.Timeout(timeout_seconds if left is None else min(timeout_seconds, left))
        came = yield Send(ask.within(left), timeout, expires)
        assert came is not None
        if isinstance(came, httpx.Response) and came.is_success:
            return came
        wait = retries.wait_seconds(attempt, came)
        if wait is None or (expires is not None and time.monotonic() + wait >= expires):
            raise _final(came, attempt, expires, timeout_seconds)
        yield Sleep(wait)


def too_late() -> DeadlineError:
    """What is raised where this side's clock says so."""
    return DeadlineError(0, "the deadline passed before the answer was whole", facts={"parameter": "deadline"})


def whole(response: httpx.Response, content: bytes) -> httpx.Response:
    """An answer that was read piece by piece, as one that was not; `content` has no encoding any more."""
    gone = {"content-encoding", "content-length", "transfer-encoding"}
    headers = [(name, value) for name, value in response.headers.items() if name.lower() not in gone]
    return httpx.Response(response.status_code, headers=headers, content=content, request=response.request)


def _left(expires: float | None) -> float | None:
    if expires is None:
        return None
    left = expires - time.monotonic()
    if left <= 0:
        raise too_late()
    return left


def _final(came: httpx.Response | httpx.RequestError, attempt: int, expires: float | None, timeout: float) -> Exception:
    if isinstance(came, httpx.Response):
        problem = problem_of(came)
        problem.retry_after = retry_after_seconds(came)
        return problem
    url = came.request.url if came._request is not None else "the service"  # noqa: SLF001  # `request` raises
    if isinstance(came, httpx.TimeoutException) and not isinstance(came, httpx.ConnectTimeout):
        if expires is not None and time.monotonic() >= expires:
            return too_late()
        error: Exception = ServiceTimeoutError(f"{url} said nothing for {timeout:g} s")
    else:
        tries = "" if attempt == 1 else f" ({attempt} attempts)"
        hint = "; is the service running?" if is_refused_here(came) else ""
        error = ConnectionFailedError(f"{url}: {came or type(came).__name__}{tries}{hint}")
    error.__cause__ = came
    return error
