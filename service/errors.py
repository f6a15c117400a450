"""Every error that a client can receive: one class each, with its status, its code and an example.

This is the catalogue. `service.http.problems` turns the errors into application/problem+json (RFC 9457). The OpenAPI
document shows the docstrings and the examples. Tests compare it with docs/http.md and with the classes of the client.
"""

import re
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
    """A parameter is missing, repeated, unknown or malformed."""

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
    """The body is empty, or is not the expected form or JSON."""

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
    """The body is not an image in a supported format, or has an unsupported content coding."""

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
        "expected": "an undamaged image",
    }


class TooManyPixelsError(ServiceError):
    """The image or the output has too many pixels."""

    status, code = 413, "too_many_pixels"
    example: ClassVar = {
        "detail": "the picture is 12000 x 10000; expected at most 12500000 pixels",
        "value": "12000 x 10000",
        "expected": "at most 12500000 pixels",
    }


class TooManyFramesError(ServiceError):
    """The animation has too many frames."""

    status, code = 413, "too_many_frames"
    example: ClassVar = {
        "detail": "the animation has 301 frames or more; expected at most 300",
        "value": 301,
        "expected": "at most 300 frames",
    }


class NotAcceptableError(ServiceError):
    """The client accepts no format that the service can make."""

    status, code = 406, "not_acceptable"
    example: ClassVar = {
        "detail": "Accept 'text/html' names no format that can be made: image/png, image/webp, image/jpeg",
        "parameter": "Accept",
        "value": "text/html",
        "expected": ["image/png", "image/webp", "image/jpeg"],
    }


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


class ClientLeftError(ServiceError):
    """The client disconnected before the result was ready."""

    status, code = 499, "client_left"


class UnauthorizedError(ServiceError):
    """A key is required, and the request has none that is valid."""

    status, code = 401, "unauthorized"
    example: ClassVar = {
        "detail": "expected a header 'Authorization: Bearer KEY' or 'X-API-Key: KEY'",
        "parameter": "Authorization",
        "expected": "a header 'Authorization: Bearer KEY' or 'X-API-Key: KEY'",
    }


class ForbiddenError(ServiceError):
    """The key lacks the required scope."""

    status, code = 403, "forbidden"
    example: ClassVar = {
        "detail": "this key has the scope transform; expected one with admin",
        "parameter": "Authorization",
        "expected": "admin",
    }


class QuotaError(ServiceError):
    """The key has used its quota per minute, or its share of what is in flight."""

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
    """The request arrives too slowly."""

    status, code = 408, "request_timeout"
    example: ClassVar = {
        "detail": "900 bytes of the body have come in 30.1 s; "
        "expected the whole body within 30 s, and 1 s for every 8192 bytes",
        "expected": "the whole body within 30 s, and 1 s for every 8192 bytes",
    }


class HeadersTooLargeError(ServiceError):
    """The request line and headers are larger than max_header_bytes."""

    status, code = 431, "headers_too_large"
    example: ClassVar = {
        "detail": "the request line and headers have more than 16384 bytes; expected at most 16384 bytes",
        "expected": "at most 16384 bytes",
    }


class NotHttpError(ServiceError):
    """The request is not valid HTTP."""

    status, code = 400, "bad_request"
    example: ClassVar = {"detail": "invalid http request received", "expected": "an HTTP/1.1 request"}


class InferenceError(ServiceError):
    """The network failed on this image."""

    status, code = 500, "inference_failed"
    example: ClassVar = {"detail": "the network failed on this image"}


class StyleExistsError(ServiceError):
    """A style of that name is there."""

    status, code = 409, "style_exists"
    example: ClassVar = {
        "detail": "there is a style named mosaic; choose another name",
        "parameter": "name",
        "value": "mosaic",
        "expected": "a name that no style has",
    }


class TooManyStylesError(ServiceError):
    """As many styles were learned as the service keeps."""

    status, code = 409, "too_many_styles"
    example: ClassVar = {
        "detail": "50 styles are kept, the limit is 50; delete one first, for example my_painting, your oldest",
        "expected": "at most 50 learned styles",
    }


class UnsuitablePaintingError(ServiceError):
    """The painting is too small, or much longer than wide."""

    status, code = 422, "unsuitable_painting"
    example: ClassVar = {
        "detail": "the painting has 40 x 40 pixels; expected at least 64 pixels on each side, "
        "and a longer side of at most 4 times the shorter",
        "value": "40x40",
        "expected": "at least 64 pixels on each side, and a longer side of at most 4 times the shorter",
    }


class NoTrainerError(ServiceError):
    """The service has no trainer, so it cannot learn styles."""

    status, code = 503, "no_trainer"
    example: ClassVar = {"detail": "no trainer is installed here (torchvision); run: pip install 'impasto[train]'"}


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


class InternalError(ServiceError):
    """An unexpected error."""

    status, code = 500, "internal"
    example: ClassVar = {"detail": "an unexpected error; the log has the details under this request_id"}


def expectation(message: str) -> str:
    """Return what a message of pydantic expects: "Input should be a valid integer, ..." becomes "a valid integer"."""
    if message == "Extra inputs are not permitted":
        return "no such field"
    if message == "Field required":
        return "a value"
    words = re.sub(r"^(Input|String|Value) should (be|match|have) ", "", message.removeprefix("Value error, "))
    return re.sub(r",? unable to .*$", "", words)


def shown(value: object) -> str:
    """Cut a value from a client to a length that fits in a message."""
    text = str(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "\N{HORIZONTAL ELLIPSIS}"
