"""Authentication: the dependencies that check a key, its scope and its quota."""

from typing import Annotated

from fastapi import Depends, HTTPException, Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from service.auth.caller import Caller, Scope, Unit
from service.errors import ForbiddenError
from service.http.state import state_of
from service.pipeline.request import Charge

_BEARER = HTTPBearer(auto_error=False, scheme_name="key", description="An API key, if the service requires one.")
_HEADER = APIKeyHeader(
    name="X-API-Key", auto_error=False, scheme_name="keyHeader", description="The same key in another header."
)


def given_key(
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)],
    header: Annotated[str | None, Security(_HEADER)],
) -> str | None:
    """Return the key of a request, from either header."""
    return bearer.credentials if bearer is not None else header


GivenKey = Annotated[str | None, Depends(given_key)]


async def name_of_caller(request: Request, key: GivenKey) -> str:
    """Return the name of the caller of a route that needs no key."""
    return state_of(request).keys.name_of(key)


CallerName = Annotated[str, Depends(name_of_caller)]


async def require_transform(request: Request, key: GivenKey) -> Caller:
    """Return the caller. Raises UnauthorizedError or ForbiddenError if it may not transform images."""
    return _authorize(request, key, "transform")


async def require_styles(request: Request, key: GivenKey) -> Caller:
    """Return the caller. Raises UnauthorizedError or ForbiddenError if it may not learn styles."""
    return _authorize(request, key, "styles")


async def require_admin(request: Request, key: GivenKey) -> Caller:
    """Return the caller, which has the scope admin. Raises 404 if no key can have that scope."""
    if not state_of(request).keys.has_admin:
        missing = "no key may administer this service; set IMPASTO_ADMIN_KEY, or IMPASTO_KEYS_FILE with an admin key"
        raise HTTPException(404, missing)
    return _authorize(request, key, "admin")


async def count_request(request: Request, caller: Annotated[Caller, Depends(require_transform)]) -> Caller:
    """Return the caller as `require_transform` does, and count a request. Raises QuotaError."""
    await count(request, caller)
    return caller


async def count(request: Request, caller: Caller) -> None:
    """Count a request against the caller's quota. Raises QuotaError."""
    await _take(request, caller, "requests", 1)


def charge_of(request: Request) -> Charge:
    """Return what the pipeline calls with the number of output pixels. Raises QuotaError when it is called."""

    async def charge(pixels: int) -> None:
        await _take(request, request.scope["state"]["caller"], "pixels", pixels)

    return charge


def style_charge_of(request: Request) -> Charge:
    """Return what the learner calls with the minutes of training. Raises QuotaError when it is called."""

    async def charge(minutes: int) -> None:
        await _take(request, request.scope["state"]["caller"], "style_minutes", minutes)

    return charge


def owner_of(request: Request) -> str:
    """Return the name of the caller's key."""
    caller: Caller = request.scope["state"]["caller"]
    return caller.name


def _authorize(request: Request, key: str | None, scope: Scope) -> Caller:
    caller = state_of(request).keys.caller(key, scope)
    request.scope["state"]["caller"] = caller
    if scope not in caller.scopes:
        has = ", ".join(sorted(caller.scopes))
        raise ForbiddenError(
            f"this key has the scope {has}; expected one with {scope}",
            {"WWW-Authenticate": f'Bearer realm="impasto", error="insufficient_scope", scope="{scope}"'},
            parameter="Authorization",
            expected=scope,
        )
    return caller


async def _take(request: Request, caller: Caller, unit: Unit, cost: int) -> None:
    standing = await state_of(request).quotas.take(caller, unit, cost)
    if standing is not None:
        request.scope["state"].setdefault("standings", {})[unit] = standing
