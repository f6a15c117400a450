"""What changes the service: for who holds the admin key. Where there is no key, these routes say 404."""

import secrets
from typing import Annotated

from fastapi import APIRouter, Depends, Header, HTTPException, Request

from service.errors import ForbiddenError, UnauthorizedError
from service.openapi import NOT_FOUND, problems
from service.registry import Registry

_SCHEME = "Bearer "


def require_admin(request: Request, authorization: Annotated[str | None, Header()] = None) -> None:
    """Raise UnauthorizedError without a key, ForbiddenError with another one, 404 where the service has none."""
    wanted = request.app.state.admin_key
    if wanted is None:
        raise HTTPException(404, "Not Found")
    if authorization is None or not authorization.startswith(_SCHEME):
        raise UnauthorizedError("expected a header 'Authorization: Bearer KEY'", {"WWW-Authenticate": "Bearer"})
    given = authorization.removeprefix(_SCHEME)
    if not secrets.compare_digest(given.encode(), wanted.encode()):
        raise ForbiddenError("this key is not the admin key")


router = APIRouter(tags=["admin"], dependencies=[Depends(require_admin)])


@router.post("/models/reload", responses={**problems(UnauthorizedError, ForbiddenError), **NOT_FOUND})
async def reload(request: Request) -> dict[str, list[str]]:
    """Look at the folder of checkpoints again; what is new or changed is verified, warmed up, and taken in.

    Without IMPASTO_ADMIN_KEY there is no such path.
    """
    registry: Registry = request.app.state.registry
    return await registry.reload()
