"""Every error that a client can receive: one class each, with its status, its code and an example.

This is the catalogue. `service.http.problems` turns the errors into application/problem+json (RFC 9457). The OpenAPI
document shows the docstrings and the examples. Tests compare it with docs/http.md and with the classes of the client.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

_SHOWN_CHARACTERS = 200


class StartupError(Exception):
    """The service cannot start. The message names the setting or file, and what was expected."""


class ServiceError(Exception):
    """The base of all errors below. `facts` become members of the problem; `headers` are sent with it."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    example: ClassVar[Mapping[str, Any]]
    """Members of a typical problem: `detail`, and facts."""

    def __init__(self, detail: str, headers: Mapping[str, str] | None = None, **facts: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers = dict(headers or {})
        self.facts = facts


class ParameterError(ServiceError):
    """A query parameter is missing, doubled, unknown or malformed."""

    status, code = 422, "invalid_parameter"
    example: ClassVar = {
        "detail": "query parameter 'stroke' is 'big'; expected auto, off, or a number from 1 to 8",
        "parameter": "stroke",
        "value": "big",
        "expected": "auto, off, or a number from 1 to 8",
    }


class UnknownModelError(ServiceError):
    """No such style or factor is served."""

    status, code = 404, "unknown_model"
    example: ClassVar = {
        "detail": "style 'mosiac' is not served; served: mosaic, starry_night",
        "parameter": "style",
        "value": "mosiac",
        "expected": ["mosaic", "starry_night"],
    }


class BodyError(ServiceError):
    """The body is empty, or not the multipart form or the JSON that was expected."""

    status, code = 422, "invalid_body"
    example: ClassVar = {
        "detail": "the multipart form has the fields ['photo']; expected one file in the field 'image'",
        "parameter": "image",
        "expected": "one file",
    }


class BodyTooLargeError(ServiceError):
    """The body is larger than max_body_bytes."""

    status, code = 413, "body_too_large"
    example: ClassVar = {
        "detail": "40000000 bytes are announced; expected at most 33554432",
        "expected": "at most 33554432 bytes",
    }


class UnsupportedImageError(ServiceError):
    """The body is not an image of a format that is taken."""

    status, code = 415, "unsupported_image"
    example: ClassVar = {
        "detail": "the body looks like PDF; expected image/jpeg, image/png, image/webp",
        "value": "PDF",
        "expected": ["image/jpeg", "image/png", "image/webp"],
    }


class BrokenImageError(ServiceError):
    """The image cannot be decoded."""

    status, code = 422, "broken_image"
    example: ClassVar = {
        "detail": "the JPEG cannot be decoded: image file is truncated",
        "value": "jpeg",
        "expected": "a whole, undamaged image",
    }


class TooManyPixelsError(ServiceError):
    """The picture, or its answer, has too many pixels."""

    status, code = 413, "too_many_pixels"
    example: ClassVar = {
        "detail": "the picture is 12000 x 10000; expected at most 12500000 pixels",
        "value": "12000x10000",
        "expected": "expected at most 12500000 pixels",
    }


class TooManyFramesError(ServiceError):
    """The animation is longer than the limit."""

    status, code = 413, "too_many_frames"
    example: ClassVar = {
        "detail": "the animation has 301 frames or more; expected at most 300",
        "value": 301,
        "expected": "at most 300 frames",
    }


class NotAcceptableError(ServiceError):
    """The client accepts no format that can be made."""

    status, code = 406, "not_acceptable"
    example: ClassVar = {
        "detail": "Accept 'text/html' names no format that can be made: image/png, image/webp, image/jpeg",
        "parameter": "Accept",
        "value": "text/html",
        "expected": ["image/png", "image/webp", "image/jpeg"],
    }


class OverloadedError(ServiceError):
    """As many requests are in flight as may be."""

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
    """The client's deadline cannot be met, or has passed before the device was free."""

    status, code = 504, "deadline_exceeded"
    example: ClassVar = {
        "detail": "the answer would take about 2.1 s, the deadline is in 0.5 s",
        "parameter": "deadline_ms",
        "predicted_seconds": 2.1,
        "expected": "a later deadline, a smaller picture, or another try when less is queued",
    }


class ClientLeftError(ServiceError):
    """The client hung up before its answer was ready."""

    status, code = 499, "client_left"


class UnauthorizedError(ServiceError):
    """A key is needed, and none was given, or none that is known."""

    status, code = 401, "unauthorized"
    example: ClassVar = {
        "detail": "expected a header 'Authorization: Bearer KEY' or 'X-API-Key: KEY'",
        "parameter": "Authorization",
        "expected": "a header 'Authorization: Bearer KEY' or 'X-API-Key: KEY'",
    }


class ForbiddenError(ServiceError):
    """The key that was given has not the scope for this."""

    status, code = 403, "forbidden"
    example: ClassVar = {
        "detail": "this key has the scope transform; expected one with admin",
        "parameter": "Authorization",
        "expected": "admin",
    }


class QuotaError(ServiceError):
    """This key has used what it may use of a minute, or holds what it may hold at once."""

    status, code = 429, "quota_exceeded"
    example: ClassVar = {
        "detail": "this key may use 60 requests a minute, 0 are left; try again in 12 s",
        "quota": "requests",
        "limit": 60,
        "remaining": 0,
        "retry_after_seconds": 12,
        "violated-policies": ["requests"],
    }


class SlowRequestError(ServiceError):
    """The request's head or body comes more slowly than is waited for."""

    status, code = 408, "request_timeout"
    example: ClassVar = {
        "detail": "900 bytes of the body have come in 30.1 s; "
        "expected the whole body within 30 s, and 1 s for every 8192 bytes",
        "expected": "the whole body within 30 s, and 1 s for every 8192 bytes",
    }


class HeadersTooLargeError(ServiceError):
    """The request's line and headers are larger than max_header_bytes."""

    status, code = 431, "headers_too_large"
    example: ClassVar = {
        "detail": "the request line and headers have more than 16384 bytes; expected at most 16384 bytes",
        "expected": "at most 16384 bytes",
    }


class NotHttpError(ServiceError):
    """What came is no HTTP request."""

    status, code = 400, "bad_request"
    example: ClassVar = {"detail": "invalid http request received", "expected": "an HTTP/1.1 request"}


class InferenceError(ServiceError):
    """The network failed on this picture."""

    status, code = 500, "inference_failed"
    example: ClassVar = {"detail": "the network failed on this picture"}


class UnknownJobError(ServiceError):
    """There is no such job, or no longer."""

    status, code = 404, "unknown_job"
    example: ClassVar = {"detail": "no such job: it never was, was deleted, or its 600 s are over"}


class NoResultError(ServiceError):
    """The job is not done yet, or was cancelled."""

    status, code = 409, "no_result"
    example: ClassVar = {"detail": "the job has no result: it is running", "value": "running", "expected": "done"}


class IdempotencyError(ServiceError):
    """The Idempotency-Key came with another request before."""

    status, code = 422, "idempotency_key_reused"
    example: ClassVar = {
        "detail": "this Idempotency-Key came with another request before; expected a new key",
        "parameter": "Idempotency-Key",
        "expected": "a new key for another request",
    }


class AnswerTooLargeError(ServiceError):
    """The answer was made, and is larger than what jobs may keep."""

    status, code = 413, "answer_too_large"
    example: ClassVar = {
        "detail": "the answer has 300000000 bytes, more than can be kept; ask for it without Prefer: respond-async",
        "expected": "at most 268435456 bytes for all jobs",
    }


class InternalError(ServiceError):
    """An error that we did not foresee."""

    status, code = 500, "internal"
    example: ClassVar = {"detail": "an error that we did not foresee; the log has it under this request_id"}


def shown(value: object) -> str:
    """What a client sent, cut to a length that fits in an answer."""
    text = str(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "\N{HORIZONTAL ELLIPSIS}"
