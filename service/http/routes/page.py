"""The page at "/", its files, and the thumbnails of its gallery."""

from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response

from service.errors import InferenceError, UnavailableError, UnknownModelError
from service.http.api_page import api_page
from service.http.headers import page_policy
from service.http.openapi import BINARY, OTHERWISE, problems
from service.http.routes.auth import CallerName
from service.http.state import state_of
from service.http.static import INDEX
from service.pipeline.etag import matches

_PAGE_HEADERS = {"Content-Security-Policy": page_policy()}
_REVALIDATE = {"Cache-Control": "no-cache"}
_THUMBNAIL: dict[int | str, dict[str, Any]] = {
    200: {"description": "A JPEG.", "content": {"image/jpeg": BINARY}},
    304: {"description": "If-None-Match names the ETag."},
}

router = APIRouter(tags=["page"])


@router.get("/", include_in_schema=False)
async def index(request: Request) -> Response:
    """The page."""
    return await web(request, INDEX)


@router.get("/web/{name}", include_in_schema=False)
async def web(request: Request, name: str) -> Response:
    """A file of the page."""
    file = state_of(request).pages.get(name)
    if file is None:
        raise HTTPException(404, "Not Found")
    return _tagged(request, file.body, file.media_type, file.tag, _PAGE_HEADERS)


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> Response:
    """The OpenAPI document as a page."""
    root = request.scope.get("root_path", "").rstrip("/")
    return Response(api_page(request.app.openapi(), root), media_type="text/html", headers=_PAGE_HEADERS)


@router.get(
    "/models/stylize/{name}/thumbnail",
    response_class=Response,
    responses={**_THUMBNAIL, **problems(UnknownModelError, InferenceError, UnavailableError), **OTHERWISE},
)
async def thumbnail(request: Request, name: str, caller: CallerName) -> Response:
    """Return a bundled photograph in a style. The network paints it at the first request."""
    state = state_of(request)
    entry = state.registry.seen_by(caller).find("stylize", name, "style")
    return _tagged(request, await state.thumbnails.of(entry), "image/jpeg", f'W/"{entry.version}"', {})


def _tagged(request: Request, body: bytes, media_type: str, tag: str, headers: dict[str, str]) -> Response:
    headers = {**headers, **_REVALIDATE, "ETag": tag}
    if matches(tag, request.headers.getlist("if-none-match")):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=media_type, headers=headers)
