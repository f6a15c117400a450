"""The parts of one service, as the routes find them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastapi import Request

from service.auth.keys import KeyRing
from service.auth.quotas import Quotas
from service.engine.engine import Engine
from service.http.static import WebFile
from service.images.sandbox.pool import Decoder
from service.models.learning.learner import Learner
from service.models.registry import Registry
from service.observability.metrics import Metrics
from service.observability.tracing import Tracer
from service.pipeline.admission import Admission
from service.pipeline.job_store import JobStore
from service.pipeline.pipeline import Pipeline
from service.pipeline.rendering import Renderer
from service.pipeline.thumbnails import Thumbnails
from service.settings import Settings
from service.storage.access import Access

if TYPE_CHECKING:  # it needs an optional extra
    from service.webhooks.webhooks import Webhooks


@dataclass(frozen=True)
class State:
    """All parts of one service. `app.create_app` builds them."""

    settings: Settings
    registry: Registry
    metrics: Metrics
    keys: KeyRing
    quotas: Quotas
    engine: Engine
    admission: Admission
    decoder: Decoder
    renderer: Renderer
    pipeline: Pipeline
    jobs: JobStore
    thumbnails: Thumbnails
    pages: dict[str, WebFile]
    access: Access
    learner: Learner | None = None
    tracer: Tracer | None = None
    webhooks: "Webhooks | None" = None

    @property
    def alive(self) -> bool:
        """Whether every device computes. During the start the devices are not asked."""
        return self.engine.alive or not self.admission.was_opened

    @property
    def ready(self) -> bool:
        """Whether requests are admitted, and there is a network to serve."""
        return self.admission.is_open and self.engine.alive and bool(self.registry.entries)


def state_of(request: Request) -> State:
    """Return the parts of the service that handles a request."""
    state: State = request.app.state
    return state
