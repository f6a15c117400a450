"""Errors of a service that is full, late, not ready or faulty."""

from typing import ClassVar

from service.errors.base import ServiceError


class OverloadedError(ServiceError):
    """The limit on requests or pixels in flight is reached."""

    status, code = 503, "overloaded"
    example: ClassVar = {
        "detail": "32 requests are in flight, the limit is 32; try again in 4 s",
        "limit": 32,
        "retry_after_seconds": 4,
    }


class UnavailableError(ServiceError):
    """The service is starting or shutting down."""

    status, code = 503, "unavailable"
    example: ClassVar = {"detail": "the service is starting or shutting down"}


class DeadlineError(ServiceError):
    """The deadline cannot be met, or passed before a device was free."""

    status, code = 504, "deadline_exceeded"
    example: ClassVar = {
        "detail": "the result would take about 2.1 s, the deadline is in 0.5 s",
        "parameter": "deadline_ms",
        "predicted_seconds": 2.1,
        "expected": "a later deadline, a smaller picture, or another try when less is queued",
    }


class InternalError(ServiceError):
    """An unexpected error."""

    status, code = 500, "internal"
    example: ClassVar = {"detail": "an unexpected error; the log has the details under this request_id"}
