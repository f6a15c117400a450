"""OpenTelemetry spans, if an endpoint is configured. Otherwise the library is not imported.

A request has one span with a child per stage, named as in Server-Timing; "header" and "tag" are the parts of the decode
stage before admission. A forward pass has its own trace, linked to the requests of its images. Attributes are numbers,
or names that the service made or checked.
"""

import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from service import __version__

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

log = logging.getLogger(__name__)

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

_MOST_STAGES = 100
"""Limit per request: an animation of 300 frames in three layers would have 1,800 stages."""

_LONGEST_STATE = 512
_FLUSH_SECONDS = 2.0

_Attribute = str | int | float


class RequestSpan:
    """The span of a request, parent of its stages. Thread-safe."""

    def __init__(self, tracer: "Tracer", span: "Span") -> None:
        self.tracer, self.span = tracer, span
        self._stages = 0

    @property
    def trace_id(self) -> str:
        """Return 32 hexadecimal digits."""
        return f"{self.span.get_span_context().trace_id:032x}"

    def finish(self, name: str, status: int, attributes: Mapping[str, _Attribute]) -> None:
        """End the span. status: HTTP status of the response."""
        self.span.update_name(name)
        self.span.set_attributes({**attributes, "http.response.status_code": status})
        if self._stages > _MOST_STAGES:
            self.span.set_attribute("impasto.stages_left_out", self._stages - _MOST_STAGES)
        if status >= 500:
            self.tracer.fail(self.span, str(status))
        self.span.end()

    def record(
        self, name: str, begun: float, ended: float, attributes: Mapping[str, _Attribute], error: str | None
    ) -> None:
        """Record a finished stage. begun, ended: on the clock of time.monotonic."""
        self._stages += 1
        if self._stages <= _MOST_STAGES:
            self.tracer.below(self, name, begun, ended, attributes, error)


class Tracer:
    """Creates spans and exports them on its own thread."""

    def __init__(self, exporter: "SpanExporter | None" = None) -> None:
        """exporter: None selects OTLP over HTTP, configured by OTEL_*. Raises ImportError without the library."""
        from opentelemetry import trace  # noqa: PLC0415  # optional
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

        if exporter is None:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

            exporter = OTLPSpanExporter()
        ours = {"service.name": "impasto", "service.version": __version__}
        resource = Resource(ours).merge(OTELResourceDetector().detect())  # the environment overrides
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._exporter = exporter
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("impasto", __version__)
        self._trace, self._propagator = trace, TraceContextTextMapPropagator()

    def request(self, headers: Mapping[str, str]) -> RequestSpan:
        """Start the span of a request, in the trace of its `traceparent`."""
        names = ("traceparent", "tracestate")
        carrier = {name: headers[name] for name in names if len(headers.get(name, "")) in range(1, _LONGEST_STATE)}
        context = self._propagator.extract(carrier)
        return RequestSpan(self, self._tracer.start_span("request", context, self._trace.SpanKind.SERVER))

    def below(
        self,
        parent: RequestSpan,
        name: str,
        begun: float,
        ended: float,
        attributes: Mapping[str, _Attribute],
        error: str | None,
    ) -> None:
        """Record a finished child span of a request."""
        context = self._trace.set_span_in_context(parent.span)
        span = self._tracer.start_span(name, context, attributes=dict(attributes), start_time=_nanoseconds(begun))
        if error is not None:
            self.fail(span, error)
        span.end(_nanoseconds(ended))

    @contextmanager
    def batch(self, requests: Sequence[RequestSpan], attributes: Mapping[str, _Attribute]) -> Iterator[None]:
        """Start a separate trace, linked to the spans of requests."""
        links = [self._trace.Link(request.span.get_span_context()) for request in requests]
        span = self._tracer.start_span("batch", attributes=dict(attributes), links=links)
        try:
            yield
        except BaseException as error:
            self.fail(span, type(error).__name__)
            raise
        finally:
            span.end()

    def fail(self, span: "Span", kind: str) -> None:
        """Mark a span as failed. kind: the name of an exception or a status, never its text."""
        span.set_attribute("error.type", kind)
        span.set_status(self._trace.Status(self._trace.StatusCode.ERROR))

    def close(self) -> None:
        """Export the remaining spans within a few seconds, then stop the threads."""
        sending = threading.Thread(target=self._provider.force_flush, daemon=True)
        sending.start()
        sending.join(_FLUSH_SECONDS)  # the timeout of the exporter does not cover its retries
        if sending.is_alive():
            self._exporter.shutdown()
        self._provider.shutdown()


_current: ContextVar[RequestSpan | None] = ContextVar("span", default=None)


def tracer_of_environment() -> Tracer | None:
    """Return the tracer configured by OTEL_*; None without an endpoint or, with a log line, without the library."""
    set_ones = [name for name in ENDPOINTS if os.environ.get(name)]
    if not set_ones or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    if os.environ.get("OTEL_TRACES_EXPORTER", "otlp") == "none":
        return None
    try:
        return Tracer()
    except ImportError as error:
        log.error(  # the traceback adds nothing
            "%s is set, but there are no traces: pip install 'impasto[otel]' (%s)", set_ones[0], error
        )
        return None


def current() -> RequestSpan | None:
    """Return the span of the current request; None if tracing is off."""
    return _current.get()


@contextmanager
def working_for(request: RequestSpan | None) -> Iterator[None]:
    """Make a span current, for this asyncio task and its children."""
    token = _current.set(request)
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def stage(name: str, **attributes: _Attribute) -> Iterator[None]:
    """Record the enclosed block as a stage of the current request."""
    request = _current.get()
    if request is None:
        yield
        return
    begun, error = time.monotonic(), None
    try:
        yield
    except BaseException as raised:
        error = type(raised).__name__
        raise
    finally:
        request.record(name, begun, time.monotonic(), attributes, error)


def record(name: str, begun: float, ended: float | None = None, **attributes: _Attribute) -> None:
    """Record a finished stage of the current request. begun, ended: of time.monotonic; None means now."""
    request = _current.get()
    if request is not None:
        request.record(name, begun, time.monotonic() if ended is None else ended, attributes, None)


@contextmanager
def batch(requests: Sequence[RequestSpan | None], **attributes: _Attribute) -> Iterator[None]:
    """Record the enclosed block as a forward pass over the images of these requests."""
    traced = [request for request in requests if request is not None]
    if not traced:
        yield
        return
    with traced[0].tracer.batch(traced, attributes):
        yield


def _nanoseconds(monotonic: float) -> int:
    """Convert a time of time.monotonic to nanoseconds since 1970."""
    return time.time_ns() - int((time.monotonic() - monotonic) * 1e9)
