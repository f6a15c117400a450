"""Errors of access: keys and quotas."""

from typing import ClassVar

from service.errors.base import ServiceError


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
