"""Errors of a store that is full, or does not respond, and of an Idempotency-Key that was used before."""

from service.errors import IdempotencyError, OverloadedError, UnavailableError

_RETRY_AFTER_SECONDS = 5
_RETRY_AFTER = {"Retry-After": str(_RETRY_AFTER_SECONDS)}


def key_reused() -> IdempotencyError:
    """Build the error for a key that was used with another request."""
    return IdempotencyError(
        "this Idempotency-Key was used with another request; expected a new key",
        parameter="Idempotency-Key",
        expected="a new key for another request",
    )


def no_room(why: str) -> OverloadedError:
    """Build the error of a full store."""
    detail = f"{why}; try again in {_RETRY_AFTER_SECONDS} s"
    return OverloadedError(detail, _RETRY_AFTER, retry_after_seconds=_RETRY_AFTER_SECONDS)


def no_store() -> UnavailableError:
    """Build the error of a store that does not respond. It names no address, which may hold a password."""
    return UnavailableError("the job store does not respond; requests without respond-async are served", _RETRY_AFTER)


def other_format(found: str, expected: str) -> UnavailableError:
    """Build the error of a store that another version of the service has filled."""
    detail = f"the job store has jobs in format {found!r}; expected {expected!r}, as this version of the service writes"
    return UnavailableError(detail, _RETRY_AFTER)
