"""Errors of a request: its parameters, its body, its headers, and HTTP."""

from typing import ClassVar

from service.errors.base import ServiceError


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


class NotAcceptableError(ServiceError):
    """The client accepts no format that the service can make."""

    status, code = 406, "not_acceptable"
    example: ClassVar = {
        "detail": "Accept 'text/html' names no format that can be made: image/png, image/webp, image/jpeg",
        "parameter": "Accept",
        "value": "text/html",
        "expected": ["image/png", "image/webp", "image/jpeg"],
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


class ClientLeftError(ServiceError):
    """The client disconnected before the result was ready."""

    status, code = 499, "client_left"
