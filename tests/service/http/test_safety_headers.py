"""What every answer says to browsers."""

import re

import pytest

from tests.conftest import encoded, picture


@pytest.mark.parametrize("path", ["/", "/docs", "/livez", "/nope", "/models", "/web/page.js", "/openapi.json"])
def test_every_answer_tells_browsers_what_not_to_do(client, path):
    headers = client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "'unsafe-inline'" not in re.search(r"script-src[^;]*|$", policy)[0]


def test_pictures_and_refusals_tell_it_too(client):
    for content in (encoded(picture(5, 5)), b"text"):
        headers = client.post("/upscale?factor=2", content=content).headers
        assert headers["content-security-policy"].startswith("default-src 'none'")


def test_the_pages_own_policy_covers_what_is_in_it(client):
    """No inline script or style, on the page and in the documentation."""
    for path in ("/", "/docs"):
        assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=", client.get(path).text)
    assert client.get("/redoc").status_code == 404
