"""The errors of the client, with a class for each error code of the service.

ImpastoError                                  (never raised itself)
+-- PictureError                              the argument is not an image; nothing was sent
+-- ConnectionFailedError                     nothing listens, or the connection broke
+-- ServiceTimeoutError                       the service was silent for longer than `timeout`
+-- ProblemError                              an error response: `code`, `detail`, `parameter`, `expected`, ...
    +-- ParameterError         422 invalid_parameter
    +-- UnknownModelError      404 unknown_model         `expected` lists what is served
    +-- BodyError              422 invalid_body
    +-- BodyTooLargeError      413 body_too_large
    +-- UnsupportedImageError  415 unsupported_image
    +-- BrokenImageError       422 broken_image
    +-- TooManyPixelsError     413 too_many_pixels
    +-- TooManyFramesError     413 too_many_frames
    +-- NotAcceptableError     406 not_acceptable
    +-- OverloadedError        503 overloaded
    +-- UnavailableError       503 unavailable           starting, or shutting down
    +-- DeadlineError          504 deadline_exceeded     by the service, or by the clock of the client
    +-- UnauthorizedError      401 unauthorized
    +-- ForbiddenError         403 forbidden
    +-- QuotaError             429 quota_exceeded        `facts` has `quota`, `limit`, `remaining`
    +-- SlowRequestError       408 request_timeout       the request received too slowly
    +-- HeadersTooLargeError   431 headers_too_large
    +-- BadRequestError        400 bad_request           the service received malformed HTTP
    +-- InferenceError         500 inference_failed
    +-- InternalError          500 internal
    +-- NotFoundError          404 not_found             unknown path: is it an Impasto service?
    +-- MethodNotAllowedError  405 method_not_allowed
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import httpx

_SHOWN_CHARACTERS = 200
UNRECOGNISED = "unrecognised"
"""The code of an error response that is not problem+json, from a proxy or another service."""


class ImpastoError(Exception):
    """A failed call."""


class LearningError(ImpastoError):
    """A style was not learned; the message says why."""


class PictureError(ImpastoError):
    """The argument is not an image that can be sent: an empty file, or a Pillow mode without a file format."""


class ConnectionFailedError(ImpastoError):
    """Nothing listens at the address, or the connection broke, in every attempt."""


class ServiceTimeoutError(ImpastoError):
    """The service was silent for longer than `timeout`."""


class ProblemError(ImpastoError):
    """An error response. A code that this client does not know raises this class itself.

    status: HTTP status; 0 for an error of the client. code: for programs. detail: for people. parameter, value,
    expected: what was wrong and what was expected, or None. request_id: as in the log of the service. retry_after:
    seconds, or None. facts: all members of the problem document.
    """

    code: str = UNRECOGNISED
    known_code: ClassVar[str] = UNRECOGNISED

    def __init__(
        self, status: int, detail: str, code: str | None = None, facts: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.code = status, detail, code or self.known_code
        self.facts: dict[str, Any] = dict(facts or {})
        self.parameter: str | None = self.facts.get("parameter")
        self.value: Any = self.facts.get("value")
        self.expected: Any = self.facts.get("expected")
        self.request_id: str | None = self.facts.get("request_id")
        self.retry_after: float | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.status, self.detail, self.code, self.facts), {"retry_after": self.retry_after}


class ParameterError(ProblemError):
    """A parameter is missing, unknown or malformed."""

    known_code = "invalid_parameter"


class UnknownModelError(ProblemError):
    """No such style or factor is served; `expected` lists those that are."""

    known_code = "unknown_model"


class StyleExistsError(ProblemError):
    """A style of that name is there."""

    known_code = "style_exists"


class TooManyStylesError(ProblemError):
    """The service keeps no more learned styles."""

    known_code = "too_many_styles"


class StorageFullError(ProblemError):
    """The disk of the service has no room for a painting."""

    known_code = "storage_full"


class UnsuitablePaintingError(ProblemError):
    """The painting is too small, or much longer than wide."""

    known_code = "unsuitable_painting"


class NoTrainerError(ProblemError):
    """The service cannot learn styles."""

    known_code = "no_trainer"


class BodyError(ProblemError):
    """The body is empty or malformed."""

    known_code = "invalid_body"


class BodyTooLargeError(ProblemError):
    """The file is larger than the service accepts."""

    known_code = "body_too_large"


class UnsupportedImageError(ProblemError):
    """The image format is not supported."""

    known_code = "unsupported_image"


class BrokenImageError(ProblemError):
    """The image cannot be decoded."""

    known_code = "broken_image"


class TooManyPixelsError(ProblemError):
    """The input or the output has too many pixels."""

    known_code = "too_many_pixels"


class TooManyFramesError(ProblemError):
    """The animation has too many frames."""

    known_code = "too_many_frames"


class NotAcceptableError(ProblemError):
    """No requested output format is supported."""

    known_code = "not_acceptable"


class OverloadedError(ProblemError):
    """The service was full in every attempt."""

    known_code = "overloaded"


class UnavailableError(ProblemError):
    """The service was starting or shutting down in every attempt."""

    known_code = "unavailable"


class DeadlineError(ProblemError):
    """The deadline cannot be met, or has passed."""

    known_code = "deadline_exceeded"


class UnauthorizedError(ProblemError):
    """The service requires a valid key."""

    known_code = "unauthorized"


class ForbiddenError(ProblemError):
    """The key lacks the scope for this request."""

    known_code = "forbidden"


class QuotaError(ProblemError):
    """The quota of the key was used up in every attempt; `retry_after` says when more is available."""

    known_code = "quota_exceeded"


class SlowRequestError(ProblemError):
    """The request was sent too slowly."""

    known_code = "request_timeout"


class HeadersTooLargeError(ProblemError):
    """The request headers are larger than the service accepts."""

    known_code = "headers_too_large"


class BadRequestError(ProblemError):
    """The service received malformed HTTP, perhaps from a proxy."""

    known_code = "bad_request"


class InferenceError(ProblemError):
    """The network failed on this image."""

    known_code = "inference_failed"


class InternalError(ProblemError):
    """An unexpected error of the service; its log has the details under `request_id`."""

    known_code = "internal"


class NotFoundError(ProblemError):
    """The path is unknown; perhaps the address is not that of an Impasto service."""

    known_code = "not_found"


class MethodNotAllowedError(ProblemError):
    """The path does not support the method; perhaps the address is not that of an Impasto service."""

    known_code = "method_not_allowed"


def problem_classes() -> Iterator[type[ProblemError]]:
    """Yield the class of each known code."""
    yield from ProblemError.__subclasses__()


def problem_of(response: httpx.Response) -> ProblemError:
    """Return the error of an unsuccessful response, whatever it contains."""
    facts = _members(response)
    code = facts.get("code")
    if not isinstance(code, str):
        words = " ".join(response.text[: 4 * _SHOWN_CHARACTERS].split())[:_SHOWN_CHARACTERS]
        status = f"{response.status_code} {response.reason_phrase} from {response.url}"
        detail = f"{status}, which is not an error of Impasto: {words!r}"
        return ProblemError(response.status_code, detail, facts={"request_id": response.headers.get("x-request-id")})
    kind = next((each for each in problem_classes() if each.known_code == code), ProblemError)
    return kind(response.status_code, str(facts.get("detail", code)), code, facts)


def _members(response: httpx.Response) -> dict[str, Any]:
    if "json" not in response.headers.get("content-type", ""):
        return {}
    try:
        facts = json.loads(response.content)
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}
