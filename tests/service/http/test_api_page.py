"""/docs without a network, and an OpenAPI document that generators of clients can use."""

import re

import httpx
import pytest

from tests.conftest import running
from tests.service.http.test_connection_limits import small_service


@pytest.fixture(scope="module")
def client(checkpoints):
    with running(small_service(checkpoints)) as address, httpx.Client(base_url=address, trust_env=False) as made:
        yield made


def test_the_page_shows_every_operation_and_loads_nothing_from_elsewhere(client):
    response = client.get("/docs")
    assert response.status_code == 200
    page, document = response.text, client.get("/openapi.json").json()
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert f'<details id="{operation["operationId"]}">' in page
            assert f"<code>{path}</code>" in page
            for parameter in operation.get("parameters", ()):
                assert f"<code>{parameter['name']}</code>" in page
    assert "<script" not in page
    links = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert links
    for link in links:
        assert link.startswith("/")
        assert client.get(link).status_code == 200, link
    assert "script-src 'self'" in response.headers["content-security-policy"]
    assert "http" not in response.headers["content-security-policy"]


def test_operations_have_names_and_paths_have_no_nullable_parts(client):
    document = client.get("/openapi.json").json()
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)
    assert {"stylize", "upscale", "get_job", "v2_infer", "v2_infer_version"} <= set(names)
    for name in names:
        assert re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", name)
        assert "__" not in name
    for operation in operations:
        for parameter in operation.get("parameters", ()):
            if parameter["in"] == "path":
                assert parameter["required"]
                assert "anyOf" not in parameter["schema"], operation["operationId"]
