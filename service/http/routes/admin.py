"""What changes the service: for who has a key with the scope admin. Where nobody can have one, these routes say 404."""

from fastapi import APIRouter, Depends, Request

from service.errors import ForbiddenError, UnauthorizedError
from service.http.openapi import NOT_FOUND, problems
from service.http.routes.auth import administers
from service.models.registry import Registry

router = APIRouter(tags=["admin"], dependencies=[Depends(administers)])


@router.post("/models/reload", responses={**problems(UnauthorizedError, ForbiddenError), **NOT_FOUND})
async def reload(request: Request) -> dict[str, list[str]]:
    """Look at the folder of checkpoints again; what is new or changed is verified, warmed up, and taken in.

    Without IMPASTO_ADMIN_KEY and IMPASTO_KEYS_FILE there is no such path; with IMPASTO_PROBE_PORT it is only there.
    """
    registry: Registry = request.app.state.registry
    return await registry.reload()
