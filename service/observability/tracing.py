"""Spans of OpenTelemetry where an endpoint for them is set, else nothing: the library is not even imported.

A request has one span, and each of its stages one below it, named as in Server-Timing; "header" and "tag" are the parts
of the decode stage that come before the picture is let in. A pass over a batch has a trace of its own, linked to the
requests whose pictures it computes. Attributes are numbers and names that the service made or checked.
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
"""An animation of 300 frames in three layers is 1,800 stages."""

_LONGEST_STATE = 512
_FLUSH_SECONDS = 2.0

_Attribute = str | int | float


class RequestSpan:
    """A request's span while it is served, and the parent of its stages. Methods may be called from any thread."""

    def __init__(self, tracer: "Tracer", span: "Span") -> None:
        self.tracer, self.span = tracer, span
        self._stages = 0

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""
        return f"{self.span.get_span_context().trace_id:032x}"

    def finish(self, name: str, status: int, attributes: Mapping[str, _Attribute]) -> None:
        """End it. status: of the answer."""
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
        """A stage that is over. begun, ended: on the clock of time.monotonic."""
        self._stages += 1
        if self._stages <= _MOST_STAGES:
            self.tracer.below(self, name, begun, ended, attributes, error)


class Tracer:
    """Makes spans and sends them, on a thread of its own."""

    def __init__(self, exporter: "SpanExporter | None" = None) -> None:
        """exporter: None for OTLP over HTTP, as the OTEL_* variables say. Raises ImportError without the library."""
        from opentelemetry import trace  # noqa: PLC0415  # costs a second, and need not be installed
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

        if exporter is None:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

            exporter = OTLPSpanExporter()
        ours = {"service.name": "impasto", "service.version": __version__}
        resource = Resource(ours).merge(OTELResourceDetector().detect())  # the environment's go first
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._exporter = exporter
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("impasto", __version__)
        self._trace, self._propagator = trace, TraceContextTextMapPropagator()

    def request(self, headers: Mapping[str, str]) -> RequestSpan:
        """Begin a request's span, in the trace that its `traceparent` names."""
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
        """A span below a request's, that is over."""
        context = self._trace.set_span_in_context(parent.span)
        span = self._tracer.start_span(name, context, attributes=dict(attributes), start_time=_nanoseconds(begun))
        if error is not None:
            self.fail(span, error)
        span.end(_nanoseconds(ended))

    @contextmanager
    def batch(self, requests: Sequence[RequestSpan], attributes: Mapping[str, _Attribute]) -> Iterator[None]:
        """A trace of its own, linked to requests'."""
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
        """Mark a span as one that went wrong. kind: an exception's name or a status; never its text."""
        span.set_attribute("error.type", kind)
        span.set_status(self._trace.Status(self._trace.StatusCode.ERROR))

    def close(self) -> None:
        """Send what has not been sent, for some seconds; then end the threads."""
        sending = threading.Thread(target=self._provider.force_flush, daemon=True)
        sending.start()
        sending.join(_FLUSH_SECONDS)  # its own limit does not hold while an export is tried again
        if sending.is_alive():
            self._exporter.shutdown()
        self._provider.shutdown()


_current: ContextVar[RequestSpan | None] = ContextVar("span", default=None)


def tracer_of_environment() -> Tracer | None:
    """As the OTEL_* variables say: None without an endpoint, and (with a line in the log) without the library."""
    set_ones = [name for name in ENDPOINTS if os.environ.get(name)]
    if not set_ones or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    if os.environ.get("OTEL_TRACES_EXPORTER", "otlp") == "none":
        return None
    try:
        return Tracer()
    except ImportError as error:
        log.error(  # the traceback tells nothing more
            "%s is set, but there are no traces: pip install 'impasto[otel]' (%s)", set_ones[0], error
        )
        return None


def current() -> RequestSpan | None:
    """The span of the request that the current task works for; None where nothing is traced."""
    return _current.get()


@contextmanager
def working_for(request: RequestSpan | None) -> Iterator[None]:
    """Make it the current one, for this task and those that it begins."""
    token = _current.set(request)
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def stage(name: str, **attributes: _Attribute) -> Iterator[None]:
    """What is done within is a stage of the current request."""
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
    """A stage of the current request that is over. begun, ended: of time.monotonic; None: now."""
    request = _current.get()
    if request is not None:
        request.record(name, begun, time.monotonic() if ended is None else ended, attributes, None)


@contextmanager
def batch(requests: Sequence[RequestSpan | None], **attributes: _Attribute) -> Iterator[None]:
    """What is done within is a pass over the pictures of these requests."""
    traced = [request for request in requests if request is not None]
    if not traced:
        yield
        return
    with traced[0].tracer.batch(traced, attributes):
        yield


def _nanoseconds(monotonic: float) -> int:
    """Since 1970, for a time of time.monotonic."""
    return time.time_ns() - int((time.monotonic() - monotonic) * 1e9)
