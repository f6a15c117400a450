"""Traces of a real service, as a real collector gets them."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from service.app import create_app
from service.models.registry import load_registry
from service.observability.tracing import ENDPOINTS, tracer_of_environment
from service.settings import Settings
from tests.conftest import encoded, picture, running
from tests.files import animation
from tests.service.collector import collecting, values
from tests.service.faults import BUG, PLAIN, WAIT, FaultyNet, faulty_picture, put_faulty

ROOT = Path(__file__).parent.parent.parent.parent
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
STAGES = {"decode", "queue", "forward", "encode"}


@pytest.fixture(scope="module")
def service(checkpoints):
    """(client, network that goes wrong, collector, tracer) of a running service with traces on."""
    with collecting() as (endpoint, collector):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(ENDPOINTS[0], endpoint)
            tracer = tracer_of_environment()
        settings = Settings(
            checkpoints=checkpoints, device="cpu", precision="fp32", max_batch_items=4, pictures_at_once=1
        )
        app = create_app(settings, load_registry(checkpoints), tracer=tracer)
        net = FaultyNet()
        with running(app) as address, httpx.Client(base_url=address, timeout=30, trust_env=False) as client:
            put_faulty(app.state.registry, net)
            try:
                yield client, net, collector, tracer
            finally:
                net.go.set()


@pytest.fixture
def traced(service):
    """Do some work with (client, network); the collector, once so many spans of requests have come."""
    client, net, collector, tracer = service
    collector.clear()

    def do(work, requests=1):
        work(client, net)
        until = time.monotonic() + 20
        while sum(span.kind == span.SPAN_KIND_SERVER for span in collector.spans) < requests:  # ends after its answer
            assert time.monotonic() < until
            tracer._provider.force_flush()
        return collector

    return do


def test_a_request_has_a_span_and_each_of_its_stages_one_below_it(traced):
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "x-request-id": "mine"}

    def work(client, net):
        response = client.post("/stylize?style=mosaic", content=encoded(picture()), headers=headers)
        timed = {each.split(";")[0] for each in response.headers["server-timing"].split(", ")}
        assert timed == STAGES

    collector = traced(work)
    [request] = collector.named("POST /stylize")
    assert (request.trace_id.hex(), request.parent_span_id.hex()) == (TRACE, PARENT)
    assert values(request.attributes) == {
        "http.request.method": "POST",
        "http.route": "/stylize",
        "http.response.status_code": 200,
        "impasto.request_id": "mine",
    }
    below = [span for span in collector.spans if span.parent_span_id == request.span_id]
    assert sorted(span.name for span in below) == sorted(STAGES | {"header", "tag"})
    for span in below:
        assert request.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
        assert span.end_time_unix_nano <= request.end_time_unix_nano + 1_000_000  # two clocks
    assert {"service.name": "impasto"}.items() <= collector.resources[0].items()


def test_a_pass_is_linked_to_the_requests_whose_pictures_it_computes(traced):
    def work(client, net):
        with ThreadPoolExecutor(4) as clients:
            url = "/upscale?factor=2"
            first = clients.submit(client.post, url, content=encoded(faulty_picture(WAIT)))
            net.waiting.acquire()
            others = [clients.submit(client.post, url, content=encoded(faulty_picture(PLAIN))) for _ in range(3)]
            while 'impasto_queue_jobs{model="upscale/x2"} 3.0' not in client.get("/metrics").text:
                pass
            net.go.set()
            assert {each.result().status_code for each in (first, *others)} == {200}

    collector = traced(work, 4)
    requests = {span.span_id for span in collector.named("POST /upscale")}
    batches = [span for span in collector.named("batch") if span.links]
    assert sorted(len(span.links) for span in batches) == [1, 3]
    assert {link.span_id for span in batches for link in span.links} == requests
    facts = values(max(batches, key=lambda span: len(span.links)).attributes)
    assert facts == {"model": "upscale/x2", "device": "cpu", "items": 3, "pixels": 3 * 20 * 30}


def test_what_went_wrong_is_marked_and_nothing_of_the_client_is_in_it(traced):
    secret = "Zm9yIG5vYm9keQ"

    def work(client, net):
        headers = {"authorization": f"Bearer {secret}", "tracestate": "a=" + "b" * 600, "user-agent": secret}
        headers |= {"traceparent": f"00-{TRACE}-{PARENT}-01"}
        bad = client.post("/upscale?factor=2", content=encoded(faulty_picture(BUG)), headers=headers)
        assert bad.status_code == 500
        assert client.post(f"/stylize?style={secret}", content=secret.encode(), headers=headers).status_code == 404
        assert client.get(f"/{secret}", headers=headers).status_code == 404
        assert client.get("/livez", headers=headers).status_code == 200

    collector = traced(work, 3)
    [failed] = collector.named("POST /upscale")
    assert failed.status.code == 2
    assert values(failed.attributes)["impasto.refused"] == "inference_failed"
    [refused] = collector.named("POST /stylize")
    assert (refused.status.code, values(refused.attributes)["impasto.refused"]) == (0, "unknown_model")
    assert [span.name for span in collector.spans if "GET" in span.name] == ["GET unmatched"]  # and no probe
    assert secret.encode() not in b"".join(collector.raw)
    assert b"b" * 100 not in b"".join(collector.raw)
    assert "RuntimeError" in [values(span.attributes).get("error.type") for span in collector.named("batch")]


def test_a_request_of_many_stages_has_a_bounded_number_of_spans(traced):
    moving = animation("gif", [picture(16, 16, seed=each) for each in range(80)], 40)
    collector = traced(lambda client, net: client.post("/stylize?style=mosaic", content=moving).raise_for_status())
    [request] = collector.named("POST /stylize")
    below = [span for span in collector.spans if span.parent_span_id == request.span_id]
    assert len(below) == 100
    assert values(request.attributes)["impasto.stages_left_out"] == 3 + 2 * 80 + 1 - 100


def test_a_collector_that_is_not_there_costs_no_request(monkeypatch):
    monkeypatch.setenv(ENDPOINTS[0], "http://127.0.0.1:9")  # nobody listens there
    tracer = tracer_of_environment()
    for _ in range(5_000):  # more than wait to be sent
        tracer.request({}).finish("GET /", 200, {})
    tracer.close()


def test_without_an_endpoint_the_library_is_not_imported():
    """FastAPI imports the interfaces where they are, and does nothing with them unless somebody sets a provider."""
    probe = f"""
import os, sys
from service.observability.tracing import tracer_of_environment
import service.cli.server
made = [tracer_of_environment()]
os.environ.update({ENDPOINTS[0]}="http://x", OTEL_SDK_DISABLED="true")
made += [tracer_of_environment()]
print(made, "opentelemetry.sdk" in sys.modules)
"""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("OTEL")}
    command = [sys.executable, "-c", probe]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert result.stdout.strip() == "[None, None] False", result.stderr


def test_without_the_library_a_line_says_so(monkeypatch, caplog):
    monkeypatch.setenv(ENDPOINTS[1], "http://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    assert tracer_of_environment() is None
    assert "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set, but there are no traces" in caplog.text
    assert "pip install 'impasto[otel]'" in caplog.text
