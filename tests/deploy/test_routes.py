"""What reaches the service from outside: all that is public of the OpenAPI document and of the page, nothing else."""

import json
import posixpath
import re
from collections.abc import Callable, Iterator

import pytest

from service.http.routes import page
from tests.deploy.faults import of_kind
from tests.deploy.tools import ROOT, Manifest, manifests, with_component

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
INSIDE = {"/livez", "/readyz", "/healthz", "/metrics", "/models/reload"}
"""Probes, metrics and the administrators' route: for the cluster alone."""

EXAMPLES = {
    "identity": "0123abcd",
    "name": "mosaic",
    "task": "stylize",
    "model": "mosaic",
    "version": "1",
}
"""A value for each placeholder of the OpenAPI document's paths."""

Reaches = Callable[[str, str], bool]
"""Whether a request, by path and method, reaches the service."""


def by_path(path: str, kind: str, value: str) -> bool:
    """Whether a path matches as Gateway API's PathPrefix, Ingress' Prefix or Exact have it: by whole segments."""
    if kind == "Exact":
        return path == value
    assert kind in {"PathPrefix", "Prefix"}
    return path == value or path.startswith(value.rstrip("/") + "/")


def gateway(found: list[Manifest]) -> Reaches:
    [route] = of_kind(found, "HTTPRoute")
    matches = [match for rule in route["spec"]["rules"] for match in rule["matches"]]

    def reaches(path: str, method: str) -> bool:
        return any(
            by_path(path, match["path"]["type"], match["path"]["value"]) and match.get("method", method) == method
            for match in matches
        )

    return reaches


def ingress(found: list[Manifest]) -> Reaches:
    [manifest] = of_kind(found, "Ingress")
    [rule] = manifest["spec"]["rules"]
    paths = rule["http"]["paths"]
    return lambda path, _: any(by_path(path, each["pathType"], each["path"]) for each in paths)


@pytest.fixture(params=["gateway", "ingress"])
def reaches(request, tmp_path) -> Reaches:
    return {"gateway": gateway, "ingress": ingress}[request.param](manifests(with_component(tmp_path, request.param)))


def documented() -> Iterator[tuple[str, str]]:
    """(path, method) of every operation of the OpenAPI document, with examples for what stands in braces."""
    for path, operations in json.loads((ROOT / "docs/openapi.json").read_text())["paths"].items():
        for method in operations:
            yield re.sub(r"\{(\w+)\}", lambda found: EXAMPLES[found[1]], path), method.upper()


def asked_by_the_page() -> set[str]:
    """The paths that the page's own files name: what it loads, and what it fetches."""
    folder = ROOT / "service/http/web"
    named = set()
    for path in folder.glob("*.html"):
        named |= set(re.findall(r'(?:src|href)="(?!https?:|data:|#)([^"]+)"', path.read_text()))
    for path in folder.glob("*.js"):
        named |= set(re.findall(r'(?:fetch|ask|getJson)\("([^"]+)"', path.read_text()))
    return {posixpath.normpath("/" + each.split("?")[0].lstrip("/")) for each in named}


def test_every_public_operation_is_routed(reaches):
    public = [(path, method) for path, method in documented() if path not in INSIDE]
    assert len(public) > 15
    assert [each for each in public if not reaches(*each)] == []


def test_a_browser_may_ask_first(reaches):
    """The preflight of CORS is an OPTIONS of the same path."""
    assert [path for path, _ in documented() if path not in INSIDE and not reaches(path, "OPTIONS")] == []


def test_the_page_is_routed_with_all_that_it_asks_for(reaches):
    own = {route.path for route in page.router.routes} - {"/web/{name}"}
    paths = asked_by_the_page() | own
    assert {"/", "/docs", "/web/page.js", "/models", "/web/coffee.jpg"} <= paths
    assert [path for path in paths | {"/openapi.json"} if not reaches(path, "GET")] == []


def test_what_is_inside_stays_inside(reaches):
    documented_paths = {path for path, _ in documented()}
    assert documented_paths >= INSIDE
    assert [(path, method) for path in INSIDE for method in METHODS if reaches(path, method)] == []


def test_a_stream_of_events_has_no_end_set_by_the_gateway(tmp_path):
    [route] = of_kind(manifests(with_component(tmp_path, "gateway")), "HTTPRoute")
    for rule in route["spec"]["rules"]:
        if any(by_path("/jobs/1/events", m["path"]["type"], m["path"]["value"]) for m in rule["matches"]):
            assert rule["timeouts"]["request"] == "0s"


def test_the_ingress_is_no_controllers_own(tmp_path):
    """Annotations and a class belong to a controller; k8s/components/ingress/README.md has examples of them."""
    [manifest] = of_kind(manifests(with_component(tmp_path, "ingress")), "Ingress")
    assert not manifest["metadata"].get("annotations")
    assert "ingressClassName" not in manifest["spec"]
