"""A client of an Impasto service.

    picture --pictures--> Upload --requests--> httpx.Request --exchange--> httpx.Response --answers--> Painting
                                                  ^   |  again, after a while, where the service is full
                                                  +---+

`Client` waits, `AsyncClient` is awaited; all that they decide is decided in the modules that they share. Importing this
package loads httpx, and neither torch nor the service.
"""

from impasto.answers import Model, Models, Painting, Refused
from impasto.asynchronous import AsyncClient
from impasto.errors import (
    BadRequestError,
    BodyError,
    BodyTooLargeError,
    BrokenImageError,
    ConnectionFailedError,
    DeadlineError,
    ForbiddenError,
    HeadersTooLargeError,
    ImpastoError,
    InferenceError,
    InternalError,
    MethodNotAllowedError,
    NotAcceptableError,
    NotFoundError,
    OverloadedError,
    ParameterError,
    PictureError,
    ProblemError,
    QuotaError,
    ServiceTimeoutError,
    SlowRequestError,
    TooManyFramesError,
    TooManyPixelsError,
    UnauthorizedError,
    UnavailableError,
    UnknownModelError,
    UnsupportedImageError,
)
from impasto.many import Outcome
from impasto.retries import Retries
from impasto.synchronous import Client
from impasto.version import __version__

__all__ = [
    "AsyncClient",
    "BadRequestError",
    "BodyError",
    "BodyTooLargeError",
    "BrokenImageError",
    "Client",
    "ConnectionFailedError",
    "DeadlineError",
    "ForbiddenError",
    "HeadersTooLargeError",
    "ImpastoError",
    "InferenceError",
    "InternalError",
    "MethodNotAllowedError",
    "Model",
    "Models",
    "NotAcceptableError",
    "NotFoundError",
    "Outcome",
    "OverloadedError",
    "Painting",
    "ParameterError",
    "PictureError",
    "ProblemError",
    "QuotaError",
    "Refused",
    "Retries",
    "ServiceTimeoutError",
    "SlowRequestError",
    "TooManyFramesError",
    "TooManyPixelsError",
    "UnauthorizedError",
    "UnavailableError",
    "UnknownModelError",
    "UnsupportedImageError",
    "__version__",
]
