"""Errors of asynchronous jobs."""

from typing import ClassVar

from service.errors.base import ServiceError


class UnknownJobError(ServiceError):
    """The job does not exist, or no longer exists."""

    status, code = 404, "unknown_job"
    example: ClassVar = {"detail": "no such job: it never existed, was deleted, or its 600 s are over"}


class NoResultError(ServiceError):
    """The job is not done, or was cancelled."""

    status, code = 409, "no_result"
    example: ClassVar = {"detail": "the job has no result: it is running", "value": "running", "expected": "done"}


class IdempotencyError(ServiceError):
    """The Idempotency-Key was used with another request."""

    status, code = 422, "idempotency_key_reused"
    example: ClassVar = {
        "detail": "this Idempotency-Key was used with another request; expected a new key",
        "parameter": "Idempotency-Key",
        "expected": "a new key for another request",
    }


class AnswerTooLargeError(ServiceError):
    """The result of the job is larger than what may be kept."""

    status, code = 413, "answer_too_large"
    example: ClassVar = {
        "detail": "the result has 300000000 bytes, more than can be kept; ask for it without Prefer: respond-async",
        "expected": "at most 268435456 bytes for all jobs",
    }
