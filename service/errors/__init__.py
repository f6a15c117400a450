"""Every error that a client can receive: one class each, with its status, its code and an example.

This is the catalogue. `service.http.problems` turns the errors into application/problem+json (RFC 9457). The OpenAPI
document shows the docstrings and the examples. Tests compare it with docs/http.md and with the classes of the client.
"""

from service.errors.access import ForbiddenError, QuotaError, UnauthorizedError
from service.errors.base import ServiceError, StartupError, expectation, shown
from service.errors.images import (
    BrokenImageError,
    InferenceError,
    TooManyFramesError,
    TooManyPixelsError,
    UnsupportedImageError,
)
from service.errors.jobs import AnswerTooLargeError, IdempotencyError, NoResultError, UnknownJobError
from service.errors.load import DeadlineError, InternalError, OverloadedError, UnavailableError
from service.errors.requests import (
    BodyError,
    BodyTooLargeError,
    ClientLeftError,
    HeadersTooLargeError,
    NotAcceptableError,
    NotHttpError,
    ParameterError,
    SlowRequestError,
    UnknownModelError,
)
from service.errors.styles import (
    NoTrainerError,
    StorageFullError,
    StyleExistsError,
    TooManyStylesError,
    UnsuitablePaintingError,
)

__all__ = [
    "AnswerTooLargeError",
    "BodyError",
    "BodyTooLargeError",
    "BrokenImageError",
    "ClientLeftError",
    "DeadlineError",
    "ForbiddenError",
    "HeadersTooLargeError",
    "IdempotencyError",
    "InferenceError",
    "InternalError",
    "NoResultError",
    "NoTrainerError",
    "NotAcceptableError",
    "NotHttpError",
    "OverloadedError",
    "ParameterError",
    "QuotaError",
    "ServiceError",
    "SlowRequestError",
    "StartupError",
    "StorageFullError",
    "StyleExistsError",
    "TooManyFramesError",
    "TooManyPixelsError",
    "TooManyStylesError",
    "UnauthorizedError",
    "UnavailableError",
    "UnknownJobError",
    "UnknownModelError",
    "UnsuitablePaintingError",
    "UnsupportedImageError",
    "expectation",
    "shown",
]
