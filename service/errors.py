"""Every error that a client can be told. `service.http.problems` turns them into application/problem+json (RFC 9457).

ServiceError                                  (never raised itself)
+-- ParameterError         422 invalid_parameter     a query parameter is missing, doubled, unknown or malformed
+-- UnknownModelError      404 unknown_model         no such style or factor; lists those that are served
+-- BodyError              422 invalid_body          empty, not the form or the JSON that was expected
+-- BodyTooLargeError      413 body_too_large
+-- UnsupportedImageError  415 unsupported_image     not a format that is taken
+-- BrokenImageError       422 broken_image          of a format that is taken, but cannot be decoded
+-- TooManyPixelsError     413 too_many_pixels
+-- TooManyFramesError     413 too_many_frames
+-- NotAcceptableError     406 not_acceptable        no format that the client accepts
+-- OverloadedError        503 overloaded            with a computed Retry-After
+-- UnavailableError       503 unavailable           starting, or shutting down
+-- DeadlineError          504 deadline_exceeded     cannot be met, or has passed
+-- ClientLeftError        499 client_left           nobody reads this; it is for the metrics
+-- UnauthorizedError      401 unauthorized          a key is needed, and none was given, or none that is known
+-- ForbiddenError         403 forbidden             the key has not this scope
+-- QuotaError             429 quota_exceeded        of this key, in requests, in pixels, or at once
+-- SlowRequestError       408 request_timeout       the request comes too slowly
+-- HeadersTooLargeError   431 headers_too_large
+-- NotHttpError           400 bad_request           what came is no HTTP request
+-- InferenceError         500 inference_failed      the network failed on this picture
+-- UnknownJobError        404 unknown_job           never was, or is gone
+-- NoResultError          409 no_result             a job that is not done yet, or was cancelled
+-- IdempotencyError       422 idempotency_key_reused
+-- AnswerTooLargeError    413 answer_too_large      made, but larger than what can be kept
+-- InternalError          500 internal              not foreseen, where nobody was there to hear of it
StartupError                                         the service cannot start; the command line prints it
"""

from collections.abc import Mapping
from typing import Any, ClassVar

_SHOWN_CHARACTERS = 200


class StartupError(Exception):
    """The service cannot start. The message names the setting or file, and what was expected."""


class ServiceError(Exception):
    """An answer other than the picture. `facts` become members of the problem, `headers` go with it."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"

    def __init__(self, detail: str, headers: Mapping[str, str] | None = None, **facts: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers = dict(headers or {})
        self.facts = facts


class ParameterError(ServiceError):
    """A query parameter is missing, doubled, unknown or malformed."""

    status, code = 422, "invalid_parameter"


class UnknownModelError(ServiceError):
    """No such style or factor is served."""

    status, code = 404, "unknown_model"


class BodyError(ServiceError):
    """The body is empty, or not the multipart form or the JSON that was expected."""

    status, code = 422, "invalid_body"


class BodyTooLargeError(ServiceError):
    """The body is larger than max_body_bytes."""

    status, code = 413, "body_too_large"


class UnsupportedImageError(ServiceError):
    """The body is not an image of a format that is taken."""

    status, code = 415, "unsupported_image"


class BrokenImageError(ServiceError):
    """The image cannot be decoded."""

    status, code = 422, "broken_image"


class TooManyPixelsError(ServiceError):
    """The picture, or its answer, has too many pixels."""

    status, code = 413, "too_many_pixels"


class TooManyFramesError(ServiceError):
    """The animation is longer than the limit."""

    status, code = 413, "too_many_frames"


class NotAcceptableError(ServiceError):
    """The client accepts no format that can be made."""

    status, code = 406, "not_acceptable"


class OverloadedError(ServiceError):
    """As many requests are in flight as may be."""

    status, code = 503, "overloaded"


class UnavailableError(ServiceError):
    """The service is starting or shutting down."""

    status, code = 503, "unavailable"


class DeadlineError(ServiceError):
    """The client's deadline cannot be met, or has passed before the device was free."""

    status, code = 504, "deadline_exceeded"


class ClientLeftError(ServiceError):
    """The client hung up before its answer was ready."""

    status, code = 499, "client_left"


class UnauthorizedError(ServiceError):
    """A key is needed, and none was given, or none that is known."""

    status, code = 401, "unauthorized"


class ForbiddenError(ServiceError):
    """The key that was given has not the scope for this."""

    status, code = 403, "forbidden"


class QuotaError(ServiceError):
    """This key has used what it may use of a minute, or holds what it may hold at once."""

    status, code = 429, "quota_exceeded"


class SlowRequestError(ServiceError):
    """The request's head or body comes more slowly than is waited for."""

    status, code = 408, "request_timeout"


class HeadersTooLargeError(ServiceError):
    """The request's line and headers are larger than max_header_bytes."""

    status, code = 431, "headers_too_large"


class NotHttpError(ServiceError):
    """What came is no HTTP request."""

    status, code = 400, "bad_request"


class InferenceError(ServiceError):
    """The network failed on this picture."""

    status, code = 500, "inference_failed"


class UnknownJobError(ServiceError):
    """There is no such job, or no longer."""

    status, code = 404, "unknown_job"


class NoResultError(ServiceError):
    """The job is not done yet, or was cancelled."""

    status, code = 409, "no_result"


class IdempotencyError(ServiceError):
    """The Idempotency-Key came with another request before."""

    status, code = 422, "idempotency_key_reused"


class AnswerTooLargeError(ServiceError):
    """The answer was made, and is larger than what jobs may keep."""

    status, code = 413, "answer_too_large"


class InternalError(ServiceError):
    """An error that we did not foresee."""

    status, code = 500, "internal"


def shown(value: object) -> str:
    """What a client sent, cut to a length that fits in an answer."""
    text = str(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "\N{HORIZONTAL ELLIPSIS}"
