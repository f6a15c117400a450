"""Errors of an image, or of its output."""

from typing import ClassVar

from service.errors.base import ServiceError


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
        "detail": "the picture is 12000 x 10000; expected at most 50000000 pixels",
        "value": "12000 x 10000",
        "expected": "at most 50000000 pixels",
    }


class TooManyFramesError(ServiceError):
    """The animation has too many frames."""

    status, code = 413, "too_many_frames"
    example: ClassVar = {
        "detail": "the animation has 301 frames or more; expected at most 300",
        "value": 301,
        "expected": "at most 300 frames",
    }


class InferenceError(ServiceError):
    """The network failed on this image."""

    status, code = 500, "inference_failed"
    example: ClassVar = {"detail": "the network failed on this image"}
