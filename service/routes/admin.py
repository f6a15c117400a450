"""What changes the service: for who holds the admin key. Without a key these routes are not there."""

import secrets
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request

from service.errors import ForbiddenError, UnauthorizedError
from service.registry import Registry

_SCHEME = "Bearer "


def require_admin(request: Request, authorization: Annotated[str | None, Header()] = None) -> None:
    """Raise UnauthorizedError without a key, ForbiddenError with another one."""
    if authorization is None or not authorization.startswith(_SCHEME):
        raise UnauthorizedError("expected a header 'Authorization: Bearer KEY'", {"WWW-Authenticate": "Bearer"})
    given, wanted = authorization.removeprefix(_SCHEME), request.app.state.admin_key
    if not secrets.compare_digest(given.encode(), wanted.encode()):
        raise ForbiddenError("this key is not the admin key")


router = APIRouter(tags=["admin"], dependencies=[Depends(require_admin)])


@router.post("/models/reload")
async def reload(request: Request) -> dict[str, list[str]]:
    """Look at the folder of checkpoints again; what is new or changed is verified, warmed up, and taken in."""
    registry: Registry = request.app.state.registry
    return await registry.reload()
