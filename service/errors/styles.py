"""Errors of learned styles."""

from typing import ClassVar

from service.errors.base import ServiceError


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


class StorageFullError(ServiceError):
    """The disk has no room for a painting."""

    status, code = 507, "storage_full"
    example: ClassVar = {"detail": "the painting cannot be stored: No space left on device"}


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
