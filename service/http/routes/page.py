"""The page at "/", its files, and the thumbnails of its gallery."""

import base64
import hashlib
import re
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html

from service.errors import InferenceError, UnavailableError, UnknownModelError
from service.http.headers import page_policy
from service.http.openapi import BINARY, OTHERWISE, problems
from service.http.state import state_of
from service.http.static import INDEX
from service.pipeline.etag import matches

_PAGE_HEADERS = {"Content-Security-Policy": page_policy()}
_SWAGGER = "https://cdn.jsdelivr.net"
_INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
_REVALIDATE = {"Cache-Control": "no-cache"}
_THUMBNAIL: dict[int | str, dict[str, Any]] = {
    200: {"description": "A JPEG.", "content": {"image/jpeg": BINARY}},
    304: {"description": "The client has it already: If-None-Match names its ETag."},
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
    """The OpenAPI document as a page: Swagger's, from a public network. Its policy names that, and its one script."""
    root = request.scope.get("root_path", "").rstrip("/")
    page = get_swagger_ui_html(
        openapi_url=f"{root}{request.app.openapi_url}",
        title="Impasto",
        swagger_favicon_url=f"{root}/web/icon.svg",
    )
    html = bytes(page.body).decode()
    hashes = [
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in _INLINE_SCRIPT.findall(html)
    ]
    policy = page_policy(
        scripts=" ".join([_SWAGGER, *hashes]),
        styles=f"{_SWAGGER} 'unsafe-inline'",  # Swagger's scripts set inline styles
        images="'self' data:",
    )
    return Response(html, media_type="text/html", headers={"Content-Security-Policy": policy})


@router.get(
    "/models/stylize/{name}/thumbnail",
    response_class=Response,
    responses={**_THUMBNAIL, **problems(UnknownModelError, InferenceError, UnavailableError), **OTHERWISE},
)
async def thumbnail(request: Request, name: str) -> Response:
    """What a style makes of a bundled photograph; made by the network when it is first asked for."""
    state = state_of(request)
    entry = state.registry.find("stylize", name, "style")
    return _tagged(request, await state.thumbnails.of(entry), "image/jpeg", f'W/"{entry.version}"', {})


def _tagged(request: Request, body: bytes, media_type: str, tag: str, headers: dict[str, str]) -> Response:
    headers = {**headers, **_REVALIDATE, "ETag": tag}
    if matches(tag, request.headers.getlist("if-none-match")):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=media_type, headers=headers)
