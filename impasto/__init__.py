"""The client of an Impasto service.

    image --pictures--> bytes --requests--> Request --exchange--> httpx.Response --results--> Painting
                                               ^  |
                                               +--+  retry, if the service is full

`Client` is synchronous, `AsyncClient` asynchronous; both share all decisions. Importing this package loads httpx, and
neither torch nor the service.
"""

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
    LearningError,
    MethodNotAllowedError,
    NotAcceptableError,
    NotFoundError,
    NoTrainerError,
    OverloadedError,
    ParameterError,
    PictureError,
    ProblemError,
    QuotaError,
    ServiceTimeoutError,
    SlowRequestError,
    StorageFullError,
    StyleExistsError,
    TooManyFramesError,
    TooManyPixelsError,
    TooManyStylesError,
    UnauthorizedError,
    UnavailableError,
    UnknownModelError,
    UnsuitablePaintingError,
    UnsupportedImageError,
)
from impasto.learning import LearnedStyle
from impasto.many import Outcome
from impasto.results import Model, Models, Painting, Refused
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
    "LearnedStyle",
    "LearningError",
    "MethodNotAllowedError",
    "Model",
    "Models",
    "NoTrainerError",
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
    "StorageFullError",
    "StyleExistsError",
    "TooManyFramesError",
    "TooManyPixelsError",
    "TooManyStylesError",
    "UnauthorizedError",
    "UnavailableError",
    "UnknownModelError",
    "UnsuitablePaintingError",
    "UnsupportedImageError",
    "__version__",
]
