"""What the second port serves: probes, metrics and the admin routes, apart from the public ones."""

from fastapi import FastAPI

from service.http.head_options import AllMethods
from service.http.middleware import RequestContext
from service.http.problems import install_handlers
from service.http.routes import admin, operations


def create_probe_app(app: FastAPI) -> FastAPI:
    """The inner side of a service that is made already; it has no lifespan of its own."""
    inner = FastAPI(title="Impasto, inside", docs_url=None, redoc_url=None, openapi_url=None)
    inner.state = app.state
    for router in (operations.probes, operations.inside, admin.router):
        inner.include_router(router)
    inner.add_middleware(AllMethods, router=inner.router)
    inner.add_middleware(RequestContext, metrics=app.state.metrics)
    install_handlers(inner)
    return inner
