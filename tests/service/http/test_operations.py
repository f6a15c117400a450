"""Probes, metrics, models, request IDs and documentation."""

import re

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from service.errors import OverloadedError, UnavailableError
from service.observability.metrics import Metrics
from service.pipeline.admission import Admission
from tests.conftest import encoded, picture


def samples(client):
    """Every sample of /metrics, by name and labels."""
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def counted(client, name, **labels):
    return samples(client).get((name, frozenset(labels.items())), 0)


@pytest.mark.parametrize("probe", ["/livez", "/readyz", "/healthz"])
def test_probes(client, probe):
    assert client.get(probe).status_code == 200
    assert client.head(probe).status_code == 200


def test_models_are_listed_with_their_version(client, app):
    listing = client.get("/models").json()
    assert [model["model"] for model in listing["models"]] == [
        "stylize/mosaic",
        "stylize/starry_night",
        "upscale/x2",
        "upscale/x4",
    ]
    assert listing["refused"] == []
    assert all(re.fullmatch("sha256:[0-9a-f]{64}", model["version"]) for model in listing["models"])


def test_a_model_shows_its_card(client):
    card = client.get("/models/upscale/x4").json()
    assert card["facts"] == {"scale": 4, "halo": 4, "radius": 4, "approximable": False}
    assert card["bytes"] > 1000
    assert card["license"] == "CC0-1.0"
    assert card["config"]["factor"] == 4
    missing = client.get("/models/stylize/nope")
    assert missing.status_code == 404
    assert missing.json()["expected"] == ["mosaic", "starry_night"]
    assert client.get("/models/paint/mosaic").status_code == 422


def test_requests_pixels_and_stages_are_counted(client):
    labels = {"route": "/upscale", "method": "POST", "code": "200"}
    before = counted(client, "impasto_http_requests_total", **labels)
    out_before = counted(client, "impasto_pixels_total", model="upscale/x2", direction="out")
    client.post("/upscale?factor=2", content=encoded(picture(10, 12)))
    assert counted(client, "impasto_http_requests_total", **labels) == before + 1
    assert counted(client, "impasto_pixels_total", model="upscale/x2", direction="out") == out_before + 480
    for stage in ("decode", "queue", "forward", "encode"):
        assert counted(client, "impasto_stage_duration_seconds_count", stage=stage) >= 1
    assert counted(client, "impasto_requests_in_flight") == 0
    assert counted(client, "impasto_queue_pixels", model="upscale/x2") == 0


def test_refusals_are_counted_by_reason(client):
    before = counted(client, "impasto_rejected_total", reason="unsupported_image")
    client.post("/upscale?factor=2", content=b"text")
    assert counted(client, "impasto_rejected_total", reason="unsupported_image") == before + 1


def test_no_label_value_comes_from_a_client(client):
    for path in ("/stylize?style=evil", "/evil", "/models/stylize/evil"):
        client.post(path, content=b"evil")
    client.request("EVIL", "/stylize?style=evil")
    assert "evil" not in client.get("/metrics").text.lower()


def test_every_metric_has_the_prefix_and_a_description(app):
    for family in app.state.metrics.registry.collect():
        assert family.name.startswith("impasto_")
        assert family.documentation


@pytest.mark.parametrize(
    ("sent", "kept"), [("abc-123", True), ("x" * 64, True), ("x" * 65, False), ("a b", False), ('"}', False)]
)
def test_a_well_formed_request_id_is_kept(client, sent, kept):
    answered = client.get("/livez", headers={"X-Request-ID": sent}).headers["x-request-id"]
    assert (answered == sent) is kept
    assert re.fullmatch("[A-Za-z0-9._-]{1,64}", answered)


def test_the_documentation_describes_both_endpoints(client):
    assert client.get("/docs").status_code == 200
    assert "<title>Impasto: turn a photograph into a painting</title>" in client.get("/").text
    paths = client.get("/openapi.json").json()["paths"]
    common = {"format", "quality", "profile", "metadata", "deadline_ms", "request-timeout", "If-None-Match"} | {
        "Prefer",
        "Idempotency-Key",
        "lossless",
        "webhook",
        "webhook_events",
        "input",
        "output",
    }
    for path, parameters in (
        ("/stylize", {"style", "strength", "preserve_color", "stroke", "max_side"}),
        ("/upscale", {"factor", "detail", "source"}),
    ):
        operation = paths[path]["post"]
        assert {each["name"] for each in operation["parameters"]} == parameters | common
        types = {"image/jpeg", "image/webp", "image/avif", "image/tiff", "multipart/form-data", "application/json"}
        assert types <= set(operation["requestBody"]["content"])
        assert {"200", "304", "404", "406", "413", "415", "422", "503"} <= set(operation["responses"])


def admission(requests=10, pixels=1000, seconds=0.0):
    gate = Admission(requests, pixels, lambda: seconds, Metrics(CollectorRegistry()).requests_in_flight)
    gate.open()
    return gate


def test_permits_run_out_and_come_back():
    gate = admission(requests=2)
    with gate.request():
        with gate.request():
            with pytest.raises(OverloadedError) as refused, gate.request():
                pass
            assert refused.value.headers["Retry-After"] == "1"
        with gate.request():
            assert gate.requests_in_flight == 2
    assert gate.requests_in_flight == 0


def test_pixel_permits_run_out_and_a_larger_image_is_admitted_alone():
    gate = admission(pixels=1000)
    refused = pytest.raises(OverloadedError, match="5000 pixels are in flight, the limit is 1000")
    with gate.pixels(5000), refused, gate.pixels(1):
        pass
    with gate.pixels(600), gate.pixels(400):
        assert gate.pixels_in_flight == 1000
    assert gate.pixels_in_flight == 0


@pytest.mark.parametrize(("seconds", "retry_after"), [(0, 1), (3.1, 2), (30, 15), (1000, 60)])
def test_retry_after_is_when_half_of_the_queue_should_be_done(seconds, retry_after):
    with pytest.raises(OverloadedError) as refused, admission(requests=0, seconds=seconds).request():
        pass
    assert refused.value.headers["Retry-After"] == str(retry_after)
    assert refused.value.facts["retry_after_seconds"] == retry_after


def test_a_permit_comes_back_after_an_error():
    gate = admission(requests=1)
    with pytest.raises(ZeroDivisionError), gate.request(), gate.pixels(1000):
        raise ZeroDivisionError
    assert (gate.requests_in_flight, gate.pixels_in_flight) == (0, 0)


def test_nothing_is_admitted_before_the_start():
    gate = admission()
    gate.close()
    with pytest.raises(UnavailableError), gate.request():
        pass
