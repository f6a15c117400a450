"""The first view, live previews, the visitor's photograph on the tiles, the results of the visit, and the link."""

import re

import httpx
import pytest

from tests.conftest import encoded, picture


@pytest.fixture
def chosen(page):
    """The page with an example, and its preview."""
    page["example"].click()
    page.until(lambda: page.text("after-tag") == "Preview: Mosaic")
    return page


def test_two_clicks_from_the_first_view_to_a_painting(page):
    assert page.text("empty").startswith("Turn a photograph into a painting.")
    page.until(lambda: "unveiled" in page["hero"].get_attribute("class"))
    page["example"].click()
    page.until(lambda: page.text("after-tag") == "Preview: Mosaic")
    assert page.run("return [after.naturalWidth, before.naturalWidth]") == [451, 451]
    assert not page["empty"].is_displayed()
    page.made()
    assert page.text("after-tag") == "After"


def test_every_tile_shows_the_visitors_own_photograph_and_the_next_one_replaces_it(chosen):
    tiles = chosen.all("#gallery img")
    own = lambda: [tile.get_attribute("src") for tile in tiles]  # noqa: E731
    chosen.until(lambda: all(src.startswith("blob:") for src in own()))
    first = own()
    assert len({*first}) == len(first) == 2
    chosen.drop(encoded(picture(30, 60)), "second.png", "image/png")
    chosen.until(lambda: all(src.startswith("blob:") and src not in first for src in own()))
    assert chosen.run("return document.querySelector('#gallery img').naturalWidth") == 60


def test_a_photograph_that_is_chosen_before_the_styles_are_known_is_painted(page):
    held = """const send = fetch, released = new Promise((release) => { window.release = release; });
        window.fetch = async (path, options) => (path === "models" && (await released), send(path, options));"""
    script = page.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": held})
    try:
        page.open(f"{page.address}/")
        page.drop(encoded(picture(30, 60)), "early.png", "image/png")
        page.until(lambda: page.text("status").startswith("early.png"))
        page.run("release()")
        page.until(lambda: page.text("after-tag") == "Preview: Mosaic")
        page.until(lambda: all("blob:" in tile.get_attribute("src") for tile in page.all("#gallery img")))
    finally:
        page.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)


def test_a_setting_paints_a_preview_and_marks_a_result_that_no_longer_fits(chosen):
    chosen.made()
    result = chosen.run("return after.src")
    chosen.set("strength", 0.3)
    assert not chosen["outcome"].is_displayed()
    assert chosen.text("after-tag") != "After"
    chosen.until(lambda: chosen.text("after-tag") == "Preview: Mosaic")
    assert chosen.run("return after.src") != result
    chosen.set("strength", 1)
    assert chosen.run("return after.src") == result, "it is kept"
    assert chosen.text("after-tag") == "After"


def test_the_preview_is_the_one_of_the_last_setting(chosen, served):
    """Of many changes only the last is asked for: the others are cancelled before they are sent."""
    sent = "return performance.getEntriesByType('resource').filter((each) => each.name.includes('quality=88')).length"
    chosen.until(lambda: all("blob:" in each.get_attribute("src") for each in chosen.all("#gallery img")))
    before = chosen.run(sent)
    shown = chosen.run("return after.src")
    script = """for (const at of [0.1, 0.2, 0.3, 0.4]) {
        strength.value = at;
        strength.dispatchEvent(new Event("input", {bubbles: true}));
    }"""
    chosen.run(script)
    chosen.until(lambda: chosen.run("return after.src") != shown)
    assert chosen.run(sent) - before == 1
    last = (
        "return performance.getEntriesByType('resource').filter((each) => each.name.includes('quality=88')).at(-1).name"
    )
    assert "strength=0.4" in chosen.run(last)


def test_the_results_of_a_visit_can_be_returned_to(chosen):
    chosen.made()
    assert not chosen["visit"].is_displayed()
    chosen.pick("style", "starry_night-full")
    chosen.made()
    strip = chosen.all("#results button")
    assert [each.get_attribute("aria-label") for each in strip] == [
        "chelsea.jpg: Starry Night, full",
        "chelsea.jpg: Mosaic",
    ]
    assert [each.get_attribute("aria-pressed") for each in strip] == ["true", "false"]
    strip[1].click()
    assert chosen.run("return settings.elements.style.value") == "mosaic"
    assert chosen["download"].get_attribute("download") == "chelsea-mosaic.jpg"
    assert chosen["outcome"].is_displayed()


def test_a_link_has_the_settings(chosen):
    chosen.pick("style", "starry_night-full")
    chosen.set("second", "mosaic")
    chosen.set("share", 0.25)
    chosen.set("strength", 0.5)
    link = chosen.driver.current_url
    assert link.endswith("#stylize?style=starry_night-full:0.75,mosaic:0.25&strength=0.5")
    chosen.open("about:blank")
    chosen.open(link)
    chosen.until(lambda: chosen.run("return settings.elements.style?.value") == "starry_night-full")
    chosen["example"].click()
    chosen.until(lambda: chosen.text("after-tag") == "Preview: Starry Night, full")
    assert chosen.driver.current_url == link


def test_the_original_is_seen_while_the_button_is_held(chosen):
    from selenium.webdriver import ActionChains  # noqa: PLC0415

    cut = lambda: chosen.run("return getComputedStyle(document.getElementById('before-pane')).clipPath")  # noqa: E731
    assert cut() != "none"
    ActionChains(chosen.driver).click_and_hold(chosen["hold"]).perform()
    assert cut() == "none"
    ActionChains(chosen.driver).release().perform()
    assert cut() != "none"
    chosen["beside"].click()
    left, right = (chosen.run(f"return {each}.getBoundingClientRect().toJSON()") for each in ("before", "after"))
    assert left["right"] <= right["left"]
    assert abs(left["width"] - right["width"]) < 1


@pytest.mark.parametrize(("language", "begins"), [("python", "from pathlib"), ("javascript", "import { readFile")])
def test_the_code_is_in_three_languages(chosen, language, begins):
    chosen.made()
    chosen.run("document.getElementById('code').open = true")
    chosen.all(f".languages [value={language}]")[0].click()
    assert chosen.text("curl").startswith(begins)
    assert "/stylize?style=mosaic" in chosen.text("curl")
    assert "chelsea.jpg" in chosen.text("curl")


def test_a_factor_that_is_too_large_for_the_picture_cannot_be_chosen(page, served):
    address, _, _ = served
    limits = httpx.get(f"{address}/limits", trust_env=False).json()
    most = limits["max_pixels_in_flight"] - 480 * 500
    assert most < 2**2 * 480 * 500 < limits["max_output_pixels"]  # what is in flight decides
    page.drop(encoded(picture(480, 500), "jpeg"), "photo.jpg", "image/jpeg")
    page.until(lambda: page.text("status").startswith("photo.jpg"))
    page.pick("mode", "upscale")
    for button in page.all("#factors button"):
        factor = int(button.get_attribute("value"))
        assert button.is_enabled() == (480 * 500 * factor**2 <= most)
    page["largest"].click()
    factors = [int(button.get_attribute("value")) for button in page.all("#factors button")]
    fitting = [factor for factor in factors if 480 * 500 * factor**2 <= most]
    assert float(page["factor"].get_attribute("value")) == max(fitting, default=1)


def test_it_can_be_installed(served):
    address, _, _ = served
    page = httpx.get(f"{address}/", trust_env=False).text
    path = re.search(r'rel="manifest" href="([^"]+)"', page)[1]
    manifest = httpx.get(f"{address}/{path}", trust_env=False)
    assert manifest.headers["content-type"].startswith("application/manifest+json")
    assert httpx.get(f"{address}/web/{manifest.json()['icons'][0]['src']}", trust_env=False).status_code == 200


def test_it_is_small(served):
    address, _, _ = served
    index = httpx.get(f"{address}/", trust_env=False)
    files = re.findall(r'(?:src|href)="(web/[^"]+\.(?:css|js))"', index.text)
    seen, size = set(), len(index.content)
    while files:
        name = files.pop()
        if name in seen:
            continue
        seen.add(name)
        body = httpx.get(f"{address}/{name}", trust_env=False).text
        size += len(body)
        files += [f"web/{each}" for each in re.findall(r'from "\./([^"]+)"', body)]
    assert len(seen) > 8
    assert size < 150_000
