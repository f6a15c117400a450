"""Every way in which a call can fail; what the service says no with has a class for each of its codes.

ImpastoError                                  (never raised itself)
+-- PictureError                              what was given is no picture that can be sent; nothing was sent
+-- ConnectionFailedError                     no service there, or it hung up
+-- ServiceTimeoutError                       it said nothing for longer than `timeout`
+-- ProblemError                              the service's own no: `code`, `detail`, `parameter`, `expected`, ...
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
    +-- DeadlineError          504 deadline_exceeded     said by the service, or by this side's clock
    +-- UnauthorizedError      401 unauthorized
    +-- ForbiddenError         403 forbidden
    +-- QuotaError             429 quota_exceeded        `facts` has `quota`, `limit`, `remaining`
    +-- SlowRequestError       408 request_timeout       the request came too slowly
    +-- HeadersTooLargeError   431 headers_too_large
    +-- BadRequestError        400 bad_request           no HTTP, said the service
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
"""The code of an answer that is no problem+json: a proxy's, or another service's."""


class ImpastoError(Exception):
    """A call that has no answer."""


class PictureError(ImpastoError):
    """What was given is no picture that can be sent: an empty file, or a kind of Pillow image that no format holds."""


class ConnectionFailedError(ImpastoError):
    """Nothing listens there, or the connection broke before the answer was whole, as often as it was tried."""


class ServiceTimeoutError(ImpastoError):
    """The service said nothing for longer than `timeout`."""


class ProblemError(ImpastoError):
    """The service's no. Where its code is one that this client does not know, the error is of this class itself.

    status: of HTTP; 0 where this side said it. code: for programs. detail: for people. parameter, value, expected: what
    was wrong, and what would have been right; None where the service does not say. request_id: what its log calls it.
    retry_after: seconds, where it says when to come back. facts: all members of the problem.
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
    """A knob is missing, unknown or malformed."""

    known_code = "invalid_parameter"


class UnknownModelError(ProblemError):
    """No such style or factor is served; `expected` lists those that are."""

    known_code = "unknown_model"


class BodyError(ProblemError):
    """The body is empty, or not what was expected."""

    known_code = "invalid_body"


class BodyTooLargeError(ProblemError):
    """The picture's file has more bytes than the service takes."""

    known_code = "body_too_large"


class UnsupportedImageError(ProblemError):
    """Not an image of a format that is taken."""

    known_code = "unsupported_image"


class BrokenImageError(ProblemError):
    """The image cannot be decoded."""

    known_code = "broken_image"


class TooManyPixelsError(ProblemError):
    """The picture, or its answer, has too many pixels."""

    known_code = "too_many_pixels"


class TooManyFramesError(ProblemError):
    """The animation is longer than the limit."""

    known_code = "too_many_frames"


class NotAcceptableError(ProblemError):
    """No format that was asked for can be made."""

    known_code = "not_acceptable"


class OverloadedError(ProblemError):
    """The service is full, and stayed so for as long as was tried."""

    known_code = "overloaded"


class UnavailableError(ProblemError):
    """The service is starting or shutting down, and was so for as long as was tried."""

    known_code = "unavailable"


class DeadlineError(ProblemError):
    """The deadline cannot be met, or has passed."""

    known_code = "deadline_exceeded"


class UnauthorizedError(ProblemError):
    """A key is needed, and none was given."""

    known_code = "unauthorized"


class ForbiddenError(ProblemError):
    """The key that was given does not open this."""

    known_code = "forbidden"


class QuotaError(ProblemError):
    """This key has used what it may, and did so for as long as was tried; `retry_after` says when there is more."""

    known_code = "quota_exceeded"


class SlowRequestError(ProblemError):
    """The picture was sent more slowly than the service waits for."""

    known_code = "request_timeout"


class HeadersTooLargeError(ProblemError):
    """The request's headers are larger than the service takes."""

    known_code = "headers_too_large"


class BadRequestError(ProblemError):
    """What arrived was no HTTP request: is something in between?"""

    known_code = "bad_request"


class InferenceError(ProblemError):
    """The network failed on this picture."""

    known_code = "inference_failed"


class InternalError(ProblemError):
    """An error that the service did not foresee; its log has it under `request_id`."""

    known_code = "internal"


class NotFoundError(ProblemError):
    """No such path: perhaps there is no Impasto service at this address."""

    known_code = "not_found"


class MethodNotAllowedError(ProblemError):
    """The path does not take this method: perhaps there is no Impasto service at this address."""

    known_code = "method_not_allowed"


def problem_classes() -> Iterator[type[ProblemError]]:
    """The class of each code that is known."""
    yield from ProblemError.__subclasses__()


def problem_of(response: httpx.Response) -> ProblemError:
    """What an answer that is no success says. Whatever it holds, something is made of it."""
    facts = _members(response)
    code = facts.get("code")
    if not isinstance(code, str):
        words = " ".join(response.text[: 4 * _SHOWN_CHARACTERS].split())[:_SHOWN_CHARACTERS]
        detail = (
            f"{response.status_code} {response.reason_phrase} from {response.url}, not in Impasto's form: {words!r}"
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
