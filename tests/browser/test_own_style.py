"""Your own style: a painting is sent, watched, kept or discarded; across a reload, and with words for every refusal."""

import base64
import time

import httpx
import numpy as np
import pytest
from selenium.common.exceptions import TimeoutException

from tests.browser.page import Page
from tests.conftest import encoded, picture
from tests.learning import external_trainer, learning_service, trainer_options

OFFER = {"max_body_bytes": 250_000, "max_pixels": 245_000, "trainer": "external"}


@pytest.fixture(scope="module")
def address(driver, tmp_path_factory):
    """A service that learns styles, with a trainer beside it."""
    folder = tmp_path_factory.mktemp("learning")
    options = trainer_options(folder)
    with learning_service(folder, options, announced=False, **OFFER) as address, external_trainer(folder, options):
        until = time.monotonic() + 120
        while httpx.get(f"{address}/limits", trust_env=False).json()["learn_minutes"] is None:
            assert time.monotonic() < until, "the trainer has not started"
            time.sleep(0.2)
        yield address


@pytest.fixture
def opened(driver, address, tmp_path):
    """The page of that service; afterwards no style is left."""
    page = Page(driver, address, tmp_path)
    page.open()
    page.until(page["own"].is_displayed)
    yield page
    assert page.complaints() == []
    page.run("localStorage.clear()")
    page.open("about:blank")
    httpx.delete(f"{address}/styles/my_painting", trust_env=False)


def paint(page, tmp_path, pixels=None, file="My Painting.png"):
    path = tmp_path / file
    path.write_bytes(encoded(picture(80, 96) if pixels is None else pixels))
    page["own-file"].send_keys(str(path))
    page.until(page["own-painting"].is_displayed)


def learn(page, minutes):
    page.set("own-minutes", minutes)
    page.run("arguments[0].click()", page["own-go"])


def until_told(page, *words, seconds=120):
    """Wait for a line that begins with one of these words."""
    try:
        page.until(lambda: page.text("own-status").startswith(words), seconds)
    except TimeoutException:
        pytest.fail(f"told {page.text('own-status')!r} and {page.text('own-trouble')!r}, expected {words}")


def styles(page):
    return page.run("return [...document.querySelectorAll('#gallery input')].map((each) => each.value)")


def test_a_painting_becomes_a_style_that_is_selected_and_may_be_discarded(opened, tmp_path):
    paint(opened, tmp_path)
    assert opened["own-name"].get_attribute("value") == "my_painting"
    opened.set("own-license", "CC0-1.0")
    learn(opened, 0.1)
    until_told(opened, "Learning, less than a minute left")
    assert opened.run("return document.activeElement.id") == "own-cancel"
    opened.until(lambda: opened.run("return document.getElementById('own-preview').naturalWidth") == 384, 120)
    opened.until(opened["own-keep"].is_displayed, 120)
    assert opened.text("own-status") == "My Painting is ready. It stands among the styles and is selected."
    assert opened.run("return document.activeElement.id") == "own-keep"
    assert styles(opened) == ["checks", "dots", "my_painting"]
    assert opened.run("return document.getElementById('settings').elements.style.value") == "my_painting"
    opened["example"].click()
    opened.until(lambda: opened.text("after-tag") == "Preview: My Painting")
    opened.open()  # it was neither kept nor discarded
    opened.until(opened["own-discard"].is_displayed)
    opened.run("arguments[0].click()", opened["own-discard"])
    opened.until(lambda: opened.text("own-status") == "My Painting is discarded.")
    assert styles(opened) == ["checks", "dots"]
    assert opened["own-form"].is_displayed()


def test_a_reload_of_the_page_finds_the_style_that_is_learned_and_it_is_kept(opened, tmp_path):
    paint(opened, tmp_path)
    learn(opened, 0.1)
    until_told(opened, "Learning")
    opened.open()
    until_told(opened, "Learning", seconds=20)
    opened.until(opened["own-keep"].is_displayed, 120)
    opened.run("arguments[0].click()", opened["own-keep"])
    assert opened["own-form"].is_displayed()
    opened.open()
    assert "my_painting" in styles(opened)
    assert not opened["own-progress"].is_displayed()


def test_learning_is_cancelled(opened, tmp_path):
    paint(opened, tmp_path)
    learn(opened, 60)
    until_told(opened, "Learning, about 60 minutes left")
    opened.run("arguments[0].click()", opened["own-cancel"])
    until_told(opened, "Cancelled.")
    assert opened["own-form"].is_displayed()
    opened.open()
    assert not opened["own-progress"].is_displayed()


def test_a_name_is_checked_as_it_is_typed(opened, tmp_path):
    paint(opened, tmp_path)
    assert opened.text("own-name-hint") == "It will be shown as My Painting."
    for name, words in [
        ("", "The style needs a name."),
        ("Größe", "Use lower-case letters, digits, _ and -, and begin with a letter or a digit."),
        ("checks", "There is a style of that name. Choose another name."),
    ]:
        opened.set("own-name", name)
        assert opened.text("own-name-hint") == words
        assert opened["own-name"].get_attribute("aria-invalid") == "true"
    learn(opened, 1)
    assert opened["own-form"].is_displayed()
    assert opened.run("return document.activeElement.id") == "own-name"


def test_what_is_wrong_with_a_painting_is_said_in_a_sentence(opened, tmp_path):
    learn(opened, 1)
    assert opened.text("own-trouble") == "Choose a painting first."
    paint(opened, tmp_path, picture(16, 16))
    learn(opened, 1)
    opened.until(lambda: opened.text("own-trouble"))
    assert "My Painting.png is too small" in opened.text("own-trouble")
    paint(opened, tmp_path, np.full((80, 80, 3), 90, np.uint8), "flat.png")
    learn(opened, 1)
    opened.until(lambda: opened.text("own-trouble").startswith("This painting did not become a style"), 120)
    assert "the painting is nearly one colour" in opened.text("own-trouble")
    assert opened["own-form"].is_displayed()


def test_a_painting_that_is_too_large_is_sent_as_a_smaller_copy(opened, tmp_path):
    paint(opened, tmp_path, picture(600, 700))
    learn(opened, 60)
    until_told(opened, "In the queue", "Learning")
    assert opened.text("own-trouble") == ""
    opened.run("arguments[0].click()", opened["own-cancel"])
    until_told(opened, "Cancelled.")


def test_a_painting_is_dropped_there_and_a_photograph_elsewhere(opened):
    script = """
        const files = new DataTransfer(), data = Uint8Array.from(atob(arguments[1]), (c) => c.charCodeAt(0));
        files.items.add(new File([data], "dropped.png", {type: "image/png"}));
        arguments[0].dispatchEvent(new DragEvent("drop", {bubbles: true, cancelable: true, dataTransfer: files}));
    """
    opened.run(script, opened["own-easel"], base64.b64encode(encoded(picture(80, 96))).decode())
    opened.until(opened["own-painting"].is_displayed)
    assert opened["empty"].is_displayed(), "it is no photograph"


def test_a_service_without_a_trainer_does_not_offer_it(page):
    assert not page["own"].is_displayed()
    assert page.all(".where-learned:not([hidden])") == []
