"""The errors of a call. Each error code of the service has a class.

ImpastoError                                  (never raised itself)
+-- PictureError                              the given picture cannot be sent; nothing was sent
+-- ConnectionFailedError                     no service at the address, or the connection broke
+-- ServiceTimeoutError                       the service was silent for longer than `timeout`
+-- ProblemError                              the service refused: `code`, `detail`, `parameter`, `expected`, ...
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
    +-- DeadlineError          504 deadline_exceeded     reported by the service, or passed on this side
    +-- UnauthorizedError      401 unauthorized
    +-- ForbiddenError         403 forbidden
    +-- QuotaError             429 quota_exceeded        `facts` has `quota`, `limit`, `remaining`
    +-- SlowRequestError       408 request_timeout       the request received too slowly
    +-- HeadersTooLargeError   431 headers_too_large
    +-- BadRequestError        400 bad_request           the service received no HTTP request
    +-- InferenceError         500 inference_failed
    +-- InternalError          500 internal
    +-- NotFoundError          404 not_found             no such path: is it an Impasto service?
    +-- MethodNotAllowedError  405 method_not_allowed
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import httpx

_SHOWN_CHARACTERS = 200
UNRECOGNISED = "unrecognised"
"""The code for a response that is not problem+json: it came from a proxy or another service."""


class ImpastoError(Exception):
    """A call that failed."""


class PictureError(ImpastoError):
    """A picture that cannot be sent: an empty file, or a Pillow image of a mode that no format holds."""


class ConnectionFailedError(ImpastoError):
    """Nothing listens at the address, or every attempt lost its connection before the response was complete."""


class ServiceTimeoutError(ImpastoError):
    """The service was silent for longer than `timeout`."""


class ProblemError(ImpastoError):
    """A refusal of the service. A code that this client does not know gives an error of this class.

    status: HTTP status; 0 for a deadline that passed on this side. code: for programs. detail: for people. parameter,
    value, expected: what was wrong and what was expected; None where the service does not report it. request_id: as in
    the log of the service. retry_after: seconds until a retry makes sense, or None. facts: all members of the problem.
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


class BodyError(ProblemError):
    """The body is empty, or not what was expected."""

    known_code = "invalid_body"


class BodyTooLargeError(ProblemError):
    """The picture file has more bytes than the service accepts."""

    known_code = "body_too_large"


class UnsupportedImageError(ProblemError):
    """The file is no image of an accepted format."""

    known_code = "unsupported_image"


class BrokenImageError(ProblemError):
    """The image cannot be decoded."""

    known_code = "broken_image"


class TooManyPixelsError(ProblemError):
    """The picture or its output has too many pixels."""

    known_code = "too_many_pixels"


class TooManyFramesError(ProblemError):
    """The animation is longer than the limit."""

    known_code = "too_many_frames"


class NotAcceptableError(ProblemError):
    """None of the requested formats can be written."""

    known_code = "not_acceptable"


class OverloadedError(ProblemError):
    """The service was full at every attempt."""

    known_code = "overloaded"


class UnavailableError(ProblemError):
    """The service was starting or shutting down at every attempt."""

    known_code = "unavailable"


class DeadlineError(ProblemError):
    """The deadline cannot be met, or has passed."""

    known_code = "deadline_exceeded"


class UnauthorizedError(ProblemError):
    """A key is needed, and none was given."""

    known_code = "unauthorized"


class ForbiddenError(ProblemError):
    """The key does not have the scope for this."""

    known_code = "forbidden"


class QuotaError(ProblemError):
    """The quota of this key was used up at every attempt; `retry_after` says when there is more."""

    known_code = "quota_exceeded"


class SlowRequestError(ProblemError):
    """The picture was sent more slowly than the service allows."""

    known_code = "request_timeout"


class HeadersTooLargeError(ProblemError):
    """The headers of the request are larger than the service accepts."""

    known_code = "headers_too_large"


class BadRequestError(ProblemError):
    """The service received no HTTP request. A proxy may have changed it."""

    known_code = "bad_request"


class InferenceError(ProblemError):
    """The network failed on this picture."""

    known_code = "inference_failed"


class InternalError(ProblemError):
    """An unexpected error in the service, which logged it under `request_id`."""

    known_code = "internal"


class NotFoundError(ProblemError):
    """There is no such path. Perhaps another service listens at this address."""

    known_code = "not_found"


class MethodNotAllowedError(ProblemError):
    """The path does not support this method. Perhaps another service listens at this address."""

    known_code = "method_not_allowed"


def problem_classes() -> Iterator[type[ProblemError]]:
    """Yield the class of each known code."""
    yield from ProblemError.__subclasses__()


def problem_of(response: httpx.Response) -> ProblemError:
    """Return the error that a failed response describes, whatever it contains."""
    facts = _members(response)
    code = facts.get("code")
    if not isinstance(code, str):
        words = " ".join(response.text[: 4 * _SHOWN_CHARACTERS].split())[:_SHOWN_CHARACTERS]
        detail = (
            f"{response.status_code} {response.reason_phrase} from {response.url}, not an error of Impasto: {words!r}"
        )
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
