"""Who may come in: the dependencies that ask for a key, its scope and its quota."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, HTTPException, Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from service.auth.caller import Caller, Scope, Unit
from service.auth.keys import KeyRing
from service.auth.quotas import Quotas
from service.errors import ForbiddenError

_BEARER = HTTPBearer(auto_error=False, scheme_name="key", description="An API key, where the service asks for one.")
_HEADER = APIKeyHeader(name="X-API-Key", auto_error=False, scheme_name="keyHeader", description="The same.")


def given_key(
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)],
    header: Annotated[str | None, Security(_HEADER)],
) -> str | None:
    """The key of a request, wherever it stands."""
    return bearer.credentials if bearer is not None else header


GivenKey = Annotated[str | None, Depends(given_key)]


def _let_in(request: Request, key: str | None, scope: Scope) -> Caller:
    ring: KeyRing = request.app.state.keys
    caller = ring.caller(key, scope)
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


async def transforms(request: Request, key: GivenKey) -> Caller:
    """Raise UnauthorizedError or ForbiddenError where the caller may not have pictures made."""
    return _let_in(request, key, "transform")


async def administers(request: Request, key: GivenKey) -> Caller:
    """The same for the scope admin; 404 where nobody can have it."""
    if not request.app.state.keys.administered:
        missing = "no key may administer this service; set IMPASTO_ADMIN_KEY, or IMPASTO_KEYS_FILE with an admin key"
        raise HTTPException(404, missing)
    return _let_in(request, key, "admin")


async def asks(request: Request, caller: Annotated[Caller, Depends(transforms)]) -> Caller:
    """As `transforms`, and it counts as a request. Raises QuotaError."""
    await _take(request, caller, "requests", 1)
    return caller


def charge_of(request: Request) -> Callable[[int], Awaitable[None]]:
    """What the request path calls with the pixels of an answer, before it is computed. Raises QuotaError."""

    async def charge(pixels: int) -> None:
        await _take(request, request.scope["state"]["caller"], "pixels", pixels)

    return charge


def owner_of(request: Request) -> str:
    """The name of the caller's key."""
    caller: Caller = request.scope["state"]["caller"]
    return caller.name


async def _take(request: Request, caller: Caller, unit: Unit, cost: int) -> None:
    quotas: Quotas = request.app.state.quotas
    standing = await quotas.take(caller, unit, cost)
    if standing is not None:
        request.scope["state"].setdefault("standings", {})[unit] = standing
