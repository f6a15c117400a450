"""axe-core and Lighthouse in the same Chromium. `make browser-tools` installs them; skipped where they are not."""

import json
import os
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.browser.conftest import BROWSERS, found
from tests.conftest import encoded, picture

MODULES = Path(__file__).parents[2] / ".venv-browser" / "node_modules"
OPEN = """for (const each of document.querySelectorAll("details")) each.open = true;
for (const each of document.querySelectorAll(".where-learned")) each.hidden = false;"""
AUDIT = """const done = arguments[arguments.length - 1];
const told = ({id, nodes}) => [id, nodes.map((node) => node.html)];
axe.run(document).then(({violations}) => done(violations.map(told)));"""


def module(path):
    if not (MODULES / path).exists():
        message = f"no {path}: `make browser-tools`"
        if os.environ.get("IMPASTO_REQUIRE_TOOLS"):
            pytest.fail(message)
        pytest.skip(message)
    return MODULES / path


@pytest.fixture(params=[("light", 1280), ("dark", 1280), ("light", 390), ("dark", 390)], ids=lambda each: f"{each}")
def audited(page, request):
    """The page in a theme and a width, and what returns its violations."""
    source = module("axe-core/axe.min.js").read_text()
    scheme, width = request.param
    cdp = page.driver.execute_cdp_cmd
    cdp("Emulation.setDeviceMetricsOverride", {"width": width, "height": 860, "deviceScaleFactor": 1, "mobile": False})
    media = [
        {"name": "prefers-color-scheme", "value": scheme},
        {"name": "prefers-reduced-motion", "value": "reduce"},
    ]
    cdp("Emulation.setEmulatedMedia", {"features": media})

    def violations():
        page.run(source)
        return page.driver.execute_async_script(AUDIT)

    try:
        yield page, violations
    finally:
        cdp("Emulation.clearDeviceMetricsOverride", {})
        cdp("Emulation.setEmulatedMedia", {"features": []})


def test_axe_finds_nothing_with_every_panel_open_and_zoomed(audited):
    page, violations = audited
    page.run(OPEN)
    assert violations() == []
    for number in range(3):
        page.drop(encoded(picture(60, 90)), f"photo {number}.png", "image/png")
        page.until(lambda number=number: page.text("status").startswith(f"photo {number}.png"))
        page.made()
    assert page["visit"].is_displayed()
    page["closer"].click()
    page.run(OPEN)
    assert violations() == []
    page.pick("mode", "upscale")
    page.set("factor", 9)
    page.run("document.getElementById('own-settings').closest('section').hidden = false")
    page.drop(b"only words", "notes.jpg", "image/jpeg")
    page.trouble()
    page.run(OPEN + "for (const each of ['own-progress', 'own-preview', 'key-form', 'shrink']) "
             "document.getElementById(each).hidden = false")  # fmt: skip
    assert violations() == []


def test_axe_finds_nothing_while_several_pictures_are_shown(audited, tmp_path):
    page, violations = audited
    paths = [tmp_path / name for name in ("one.png", "two.png", "notes.jpg")]
    for path in paths:
        path.write_bytes(encoded(picture(60, 90)) if path.suffix == ".png" else b"only words")
    page["file"].send_keys("\n".join(map(str, paths)))
    page.until(page["roll"].is_displayed)
    page.until(page["go"].is_enabled)
    page.go()
    page.until(lambda: page.text("status").startswith("Done in"))
    page.run(OPEN)
    assert violations() == []
    page.open(f"{page.address}/docs")
    assert violations() == []


def test_lighthouse_gives_full_marks(served, tmp_path):
    address, _, _ = served
    report = tmp_path / "report.json"
    command = [
        "node",
        str(module("lighthouse/cli/index.js")),
        f"{address}/",
        "--quiet",
        "--output=json",
        f"--output-path={report}",
        "--only-categories=accessibility,best-practices",
        "--chrome-flags=--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage",
    ]
    environment = {**os.environ, "CHROME_PATH": found(*BROWSERS)}
    subprocess.run(command, env=environment, check=True, timeout=180, capture_output=True)
    found_ = json.loads(report.read_text())
    failed = [name for name, audit in found_["audits"].items() if audit["score"] == 0]
    assert {name: each["score"] for name, each in found_["categories"].items()} == {
        "accessibility": 1,
        "best-practices": 1,
    }, failed


def test_chromium_would_install_it(page):
    page.driver.execute_cdp_cmd("Page.enable", {})
    manifest = page.driver.execute_cdp_cmd("Page.getAppManifest", {})
    assert manifest["errors"] == []
    errors = page.driver.execute_cdp_cmd("Page.getInstallabilityErrors", {})["installabilityErrors"]
    assert [error["errorId"] for error in errors if error["errorId"] != "in-incognito"] == []
    icons = json.loads(manifest["data"])["icons"]
    for icon in icons:
        response = httpx.get(f"{page.address}/web/{icon['src']}", trust_env=False)
        assert response.headers["content-type"] == icon["type"]
        if icon["type"] == "image/png":
            side = int.from_bytes(response.content[16:20])
            assert icon["sizes"] == f"{side}x{side}"
    assert {icon["sizes"] for icon in icons} >= {"192x192", "512x512"}
