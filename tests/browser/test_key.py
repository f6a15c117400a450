"""The page of a server that asks for a key."""

import pytest
from selenium.webdriver.common.by import By

from service.app import create_app
from service.models.registry import load_registry
from service.settings import Settings
from tests.browser.page import Page
from tests.conftest import decoded, encoded, picture, running
from tests.keys import ALICE, GONE, write_keys


@pytest.fixture
def page(driver, folder, tmp_path):
    keys = write_keys(tmp_path / "keys")
    settings = Settings(checkpoints=folder, device="cpu", precision="fp32", max_batch_items=1, keys_file=keys)
    with running(create_app(settings, load_registry(folder))) as address:
        page = Page(driver, address, tmp_path)
        page.open()
        yield page
        assert page.complaints() == []
        page.run("sessionStorage.clear()")
        page.open("about:blank")


def test_the_page_is_open_asks_for_a_key_when_one_is_needed_and_goes_on_with_it(page, tmp_path):
    path = tmp_path / "photo.png"
    path.write_bytes(encoded(picture(30, 40)))
    assert not page["key-form"].is_displayed()
    page["file"].send_keys(str(path))
    assert page.trouble() == "This server asks for a key."
    assert page["key-form"].is_displayed()
    page["key"].send_keys(GONE)
    page["key-form"].find_element(By.TAG_NAME, "button").click()
    page.until(lambda: "has expired" in page.text("trouble-detail").lower())
    page["key"].send_keys(ALICE)
    page["key-form"].find_element(By.TAG_NAME, "button").click()
    page.until(lambda: page.text("after-tag").startswith("Preview"))
    page.pick("mode", "upscale")
    assert decoded(page.made()).shape == (60, 80, 3)
    assert not page["trouble"].is_displayed()
    assert not page["key-form"].is_displayed()
    assert page["key"].get_attribute("value") == ""
    page.run("document.getElementById('code').open = true")
    assert '-H "X-API-Key: $IMPASTO_KEY"' in page.text("curl")
    assert ALICE not in page.driver.page_source
    assert decoded(page.made()).shape == (60, 80, 3)
    page.open()
    page.choose(path)
    page.pick("mode", "upscale")
    assert decoded(page.made()).shape == (60, 80, 3), "it is kept while the tab is open"
