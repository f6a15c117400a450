"""A real browser before a real service. Where there is no Chromium, these tests are skipped, and say so."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.browser.page import Page
from tests.conftest import save_net, tiny_style_net, tiny_upscaler
from tests.service.faults import faulty_service

ADMIN_KEY = "reloads-the-styles"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless=new",
    "--no-sandbox",  # root has none
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,900",
)


def found(*names: str) -> str:
    """The first program of these names. Skips where there is none; fails where one is required."""
    path = next((path for name in names if (path := shutil.which(name))), None)
    if path is None:
        message = f"no {names[0]} on this machine (Debian: apt-get install chromium chromium-driver)"
        if os.environ.get("IMPASTO_REQUIRE_TOOLS"):
            pytest.fail(message)
        pytest.skip(message)
    return path


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """Headless Chromium with a fresh profile."""
    chromium, chromedriver = found(*BROWSERS), found("chromedriver")
    from selenium import webdriver  # noqa: PLC0415  # a second, which nobody should wait for without a browser

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(chromedriver))
    driver.set_page_load_timeout(30)
    driver.set_script_timeout(30)
    yield driver
    driver.quit()


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two styles and two factors."""
    folder = tmp_path_factory.mktemp("page")
    save_net(folder, "mosaic", tiny_style_net(1))
    save_net(folder, "starry_night-full", tiny_style_net(2))
    for factor in (2, 4):
        save_net(folder, f"x{factor}", tiny_upscaler(factor))
    return folder


@pytest.fixture(scope="session")
def served(driver: object, folder: Path) -> Iterator[tuple]:  # the browser first: without one, nothing is started
    """(address, network, app) of a service with small limits, whose x2 waits when its picture asks for it."""
    limits = {
        "max_body_bytes": 250_000,
        "max_pixels": 245_000,
        "max_pixels_in_flight": 1_150_000,  # 480 x 500 enlarged by 2 is more
        "max_batch_items": 1,
    }
    with faulty_service(folder, admin_key=ADMIN_KEY, **limits) as served:
        for style in ("mosaic", "starry_night-full"):  # painted once, so that no page finds them in the queue
            httpx.get(f"{served[0]}/models/stylize/{style}/thumbnail", trust_env=False, timeout=60).raise_for_status()
        yield served


@pytest.fixture
def page(driver: object, served: tuple, tmp_path: Path) -> Iterator[Page]:
    """The page, just opened; afterwards no script may have complained."""
    address, net, app = served
    net.go.clear()
    net.passes.clear()
    page = Page(driver, address, tmp_path)
    page.open()
    yield page
    net.go.set()
    page.close_other_tabs()
    assert page.complaints() == []
    page.open("about:blank")
    page.until(lambda: all(job.over.is_set() for job in app.state.jobs))
    page.until(lambda: app.state.engine.scheduler.idle, seconds=60)  # what a test left would make the next one wait


@pytest.fixture
def wave(page: Page, served: tuple, folder: Path) -> Iterator[Callable[[], None]]:
    """A third style, which the open page has noticed. Call it, and the style is gone."""
    address, path = served[0], save_net(folder, "wave", tiny_style_net(3))

    def reload() -> None:
        key = {"Authorization": f"Bearer {ADMIN_KEY}"}
        httpx.post(f"{address}/models/reload", headers=key, trust_env=False).raise_for_status()

    def remove() -> None:
        path.unlink(missing_ok=True)
        reload()

    try:
        reload()
        page.run("dispatchEvent(new Event('focus'))")
        page.until(lambda: page.run("return gallery.lastElementChild.querySelector('span').textContent") == "Wave")
        yield remove
    finally:
        remove()
