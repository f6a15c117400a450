"""The page at "/", in a browser: from the upload to the download, and what goes wrong on the way."""

import asyncio
import io
import re
import shlex

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.conftest import decoded, encoded, picture
from tests.end_to_end.test_serve import address_in, service
from tests.service.engine.test_isolation import doubled, wait_until
from tests.service.faults import PLAIN, WAIT, faulty_picture

PAINTS = ("color", "backgroundColor")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder, and what puts a picture there."""
    folder = tmp_path_factory.mktemp("pictures")

    def saved(pixels, name="photo.png"):
        path = folder / name
        path.write_bytes(encoded(pixels, path.suffix[1:].replace("jpg", "jpeg")))
        return path

    return saved


def query_of(page):
    """The path and query of the curl line, which is read as a shell would."""
    page.run("document.getElementById('code').open = true")
    words = shlex.split(page.text("curl"))
    assert words[:2] == ["curl", "-F"]
    return next(word for word in words if "://" in word).removeprefix(page.address)


def same(page, path, data):
    """Whether the service's answer to the curl line is the same."""
    response = httpx.post(f"{page.address}{query_of(page)}", files={"image": path.read_bytes()}, trust_env=False)
    return response.status_code == 200 and response.content == data


def test_it_shows_every_style_as_its_network_paints_it(page, served):
    page.run("document.getElementById('styles').scrollIntoView()")
    styles = page.all("#exhibition img")
    page.until(lambda: all(page.run("return arguments[0].naturalWidth", image) == 600 for image in styles))
    assert [each.text for each in page.all("#exhibition span")] == ["Mosaic", "Starry Night, full"]
    page.until(lambda: all(each.text.endswith(" kB") for each in page.all("#exhibition small")))
    thumbnails = [httpx.get(image.get_attribute("src"), trust_env=False) for image in styles]
    assert thumbnails[0].content != thumbnails[1].content
    tagged = httpx.get(styles[0].get_attribute("src"), headers={"If-None-Match": thumbnails[0].headers["etag"]})
    assert tagged.status_code == 304
    assert "250 kB" in page.text("limits")
    assert not page["go"].is_enabled()
    assert httpx.get(page.all("nav a")[-1].get_attribute("href"), trust_env=False).status_code == 200


def test_a_picture_is_painted_compared_and_downloaded(page, files):
    path = files(picture(90, 120), "holiday photo.jpg")
    page.choose(path)
    page.pick("style", "starry_night-full")
    data = page.made()
    assert same(page, path, data)
    assert query_of(page) == "/stylize?style=starry_night-full"
    assert page["download"].get_attribute("download") == "holiday photo-starry_night-full.jpg"
    assert page.text("facts").startswith("120 x 90, JPEG, ")
    assert re.search(r"reading \d+ ms.*waiting \d+ ms.*network \d+ ms.*writing \d+ ms", page.text("times"), re.DOTALL)
    assert page.text("status").startswith("Done in ")
    assert page["after"].get_attribute("alt") == "Painted as starry_night-full"


def test_every_option_becomes_a_parameter(page, files):
    page.choose(files(picture(90, 120)))
    for summary in page.all("summary"):
        if summary.is_displayed():
            page.run("arguments[0].click()", summary)
    page.pick("style", "mosaic")
    for name, value in {
        "strength": 0.6,
        "second": "starry_night-full",
        "share": 0.25,
        "stroke": "larger",
        "stroke-times": 2.5,
        "max_side": 64,
        "format": "webp",
        "quality": 71,
        "profile": "srgb",
        "deadline": 20.5,
    }.items():
        page.set(name, value)
    page["preserve_color"].click()
    page["metadata"].send_keys(" ")
    page["lossless"].send_keys(" ")
    data = page.made()
    assert query_of(page) == (
        "/stylize?style=mosaic:0.75,starry_night-full:0.25&strength=0.6&preserve_color=true&stroke=2.5&max_side=64"
        "&format=webp&quality=71&lossless=true&profile=srgb&metadata=keep&deadline_ms=20500"
    )
    assert (Image.open(io.BytesIO(data)).format, decoded(data).shape) == ("WEBP", (48, 64, 3))
    assert [output.text for output in page.all("output") if output.is_displayed()] == ["60 %", "2.5 times", "25 %"]
    page.set("format", "jpeg")
    assert not page["lossless"].is_enabled()
    page.made()
    assert "&format=jpeg&quality=71&profile=srgb" in query_of(page)


def test_a_picture_is_enlarged_and_looked_at_pixel_by_pixel(page, files):
    path = files(faulty_picture(PLAIN, 100, 160))
    page.choose(path)
    page.pick("mode", "upscale")
    assert page.text("size") == "160 x 100 becomes 320 x 200"
    assert page.text("go") == "Enlarge 2 times"
    assert np.array_equal(decoded(page.made()), doubled(decoded(path.read_bytes())))
    page.all("#factors button")[1].click()
    page.set("detail", 0)
    data = page.made()
    assert decoded(data).shape == (400, 640, 3)
    assert same(page, path, data)
    page.set("factor", 2.5)
    page.set("source", "clean")
    assert decoded(page.made()).shape == (250, 400, 3)
    assert query_of(page).endswith("factor=2.5&source=clean")
    assert page.text("facts").endswith("Enlarged as a clean picture.")
    page["actual"].click()
    assert page.run("return after.getBoundingClientRect().width") == 400


def test_the_line_between_before_and_after_moves_by_mouse_and_by_keyboard(page, files):
    from selenium.webdriver import ActionChains, Keys  # noqa: PLC0415

    page.choose(files(picture(90, 120)))
    page.made()
    at = lambda: float(page.run("return divide.value"))  # noqa: E731
    assert at() == 50
    page["divide"].send_keys(Keys.ARROW_RIGHT * 5)
    assert at() == 55
    assert page["divide"].get_attribute("aria-valuetext") == "55 % before, 45 % after"
    ActionChains(page.driver).move_to_element_with_offset(page["frame"], -100, 0).click_and_hold().move_by_offset(
        -100, 10
    ).release().perform()
    width = page["frame"].rect["width"]
    assert abs(at() - 100 * (width / 2 - 200) / width) <= 1
    page["divide"].send_keys(Keys.HOME)
    assert at() == 0
    assert "100%" in page.run("return getComputedStyle(document.getElementById('before-pane')).clipPath")


def test_it_can_be_used_by_keyboard_alone(page):
    from selenium.webdriver import ActionChains, Keys  # noqa: PLC0415

    def press(*keys):
        ActionChains(page.driver).send_keys(*keys).perform()

    def tab_to(condition, key=Keys.TAB):
        for _ in range(40):
            if page.run(f"const e = document.activeElement; return {condition}"):
                return
            press(key)
        raise AssertionError(condition)

    tab_to("e.id === 'example'")
    press(Keys.ENTER)
    page.until(lambda: page.text("status") == "chelsea.jpg, 451 x 300")
    tab_to("e.name === 'style'")
    press(Keys.ARROW_RIGHT)
    assert page.run("return document.activeElement.value") == "starry_night-full"
    press(Keys.ENTER)
    page.until(page["outcome"].is_displayed)
    assert query_of(page) == "/stylize?style=starry_night-full"


def test_a_job_tells_its_place_in_the_queue_and_cancelling_ends_it(page, files, served):
    address, net, app = served
    page.pick("mode", "upscale")
    with httpx.Client(base_url=address, trust_env=False) as other:
        ahead = other.post(
            "/upscale?factor=2", content=encoded(faulty_picture(WAIT)), headers={"Prefer": "respond-async"}
        ).headers["location"]
        assert net.waiting.acquire(timeout=20)
        page.choose(files(faulty_picture(PLAIN + 7)))
        page.go()
        page.until(lambda: page.text("status") == "In the queue: 1 before you")
        assert not page["go"].is_displayed()
        assert page.run("return document.activeElement.id") == "cancel"
        page["cancel"].click()
        page.until(lambda: page.text("status").startswith("Cancelled"))
        assert page["go"].is_displayed()
        wait_until(lambda: not any(job.state == "queued" for job in app.state.jobs))
        net.go.set()
        wait_until(lambda: other.get(ahead).json()["state"] == "done")
        other.delete(ahead)
    wait_until(lambda: app.state.engine.scheduler.idle)
    assert [PLAIN + 7] not in net.passes


def test_tiles_move_the_bar(page, files, served):
    _, net, app = served
    before, app.state.engine.limits.tile_pixels = app.state.engine.limits.tile_pixels, 4096
    try:
        page.pick("mode", "upscale")
        page.choose(files(faulty_picture(WAIT, 150, 200)))
        page.go()
        page.until(lambda: re.fullmatch(r"Working.*", page.text("status")))
        assert float(page["bar"].get_attribute("value")) == 0
        net.go.set()
        page.until(page["outcome"].is_displayed)
    finally:
        app.state.engine.limits.tile_pixels = before


def test_a_dropped_pdf_is_refused_in_the_servers_words_and_the_next_picture_works(page, files):
    page.drop(b"%PDF-1.7 not a picture", "paper.pdf", "application/pdf")
    assert page.trouble() == "paper.pdf is not a picture that this server can read."
    assert not page["trouble-technical"].is_displayed()
    page.all("#trouble-more summary")[0].click()
    assert page.text("trouble-technical").startswith("the body looks like PDF; expected image/jpeg")
    assert re.search("Request [0-9a-f]{32}", page.text("trouble-technical"))
    assert page["empty"].is_displayed()
    page.drop(encoded(picture(), "tiff"), "scan.tif", "image/tiff")  # no browser shows one; the server reads it
    page.until(lambda: "scan.tif, 60 x 40" in page.text("status"))
    assert not page["trouble"].is_displayed()
    assert Image.open(io.BytesIO(page.made())).format == "PNG"
    page.drop(encoded(picture())[:-30], "broken.png", "image/png")
    page.until(lambda: "broken.png" in page.text("status") or page["trouble"].is_displayed())
    page.go()
    assert page.trouble() == "broken.png is damaged: it cannot be read to its end."


def test_a_pasted_picture_is_taken(page):
    page.paste(encoded(picture(30, 50)), "image.png", "image/png")
    page.until(lambda: page.text("status") == "image.png, 50 x 30")


def test_a_picture_that_is_too_large_is_offered_smaller_and_a_file_that_is_not_one_is_refused(page, files):
    page.drop(bytes(260_000), "huge.png", "image/png")
    assert page.trouble() == "huge.png has 260 kB; this server takes at most 250 kB."
    assert not page["shrink"].is_displayed()
    page.drop(encoded(picture(500, 510), "jpeg"), "wide.jpg", "image/jpeg")
    page.until(page["shrink"].is_displayed)
    assert page.text("trouble-detail") == "wide.jpg has 0.26 megapixels; this server takes at most 0.24 megapixels."
    assert not page["go"].is_enabled()
    page["shrink"].click()
    page.until(page["go"].is_enabled)
    assert not page["trouble"].is_displayed()
    height, width = decoded(page.made()).shape[:2]
    assert 230_000 < height * width <= 245_000
    assert abs(width / height - 510 / 500) < 0.01


def test_a_wrong_parameter_is_marked(page, files):
    page.choose(files(picture()))
    page.set("max_side", 3)
    page.go()
    assert page.trouble() == "Longest side in pixels: The smallest value is 16."
    assert page["max_side"].get_attribute("aria-invalid") == "true"
    assert page["max_side"].is_displayed()  # what it lay in was opened
    page.set("max_side", "")
    page.made()
    assert page["max_side"].get_attribute("aria-invalid") is None


def test_a_second_tab_has_its_own_job_and_closing_it_ends_only_that(page, files, served):
    _, net, app = served
    first = page.driver.current_window_handle
    page.pick("mode", "upscale")
    path = files(faulty_picture(WAIT, 60, 80))
    page.choose(path)
    page.go()
    page.until(lambda: page.text("status").startswith("Working"))
    page.driver.switch_to.new_window("tab")
    page.open()
    page.pick("mode", "upscale")
    page.choose(files(faulty_picture(PLAIN + 9), "second.png"))
    page.go()
    page.until(lambda: page.text("status") == "In the queue: 1 before you")
    page.driver.close()
    page.driver.switch_to.window(first)
    wait_until(lambda: [job.state for job in app.state.jobs].count("queued") == 0)
    net.go.set()
    page.until(page["outcome"].is_displayed)
    assert [PLAIN + 9] not in net.passes
    assert not page["trouble"].is_displayed()


def test_a_server_that_stops_half_way_is_told_and_the_picture_stays(page, files, folder, served):
    with service("tests.service.faults", checkpoints=folder) as (process, lines):
        page.address = address_in(lines[0])
        page.open()
        page.pick("mode", "upscale")
        page.choose(files(faulty_picture(WAIT)))
        page.go()
        page.until(lambda: page.text("status").startswith("Working"))
        process.kill()
        assert page.trouble() == "Can't reach the server."
        assert "Your picture is still here" in page.text("trouble-hint")
        assert page["before"].is_displayed()
        assert page["go"].is_enabled()
        page.go()
        page.until(page["go"].is_displayed)
        assert page.trouble() == "Can't reach the server."


def test_a_job_that_is_forgotten_meanwhile_is_made_in_line(page, files, served):
    """As where another replica is asked for the answer."""
    _, net, app = served
    page.pick("mode", "upscale")
    path = files(faulty_picture(WAIT, 50, 70))
    page.choose(path)
    page.go()
    page.until(lambda: page.text("status").startswith("Working"))
    job = next(job for job in app.state.jobs if not job.over.is_set())
    asyncio.run_coroutine_threadsafe(app.state.jobs.stop(), job.task.get_loop())
    net.go.set()
    page.until(page["outcome"].is_displayed)
    assert net.passes.count([WAIT]) == 2
    assert not page["trouble"].is_displayed()


def test_a_style_that_appears_while_the_page_is_open_shows_up(page, wave):
    assert page.run("return gallery.lastElementChild.querySelector('span').textContent") == "Wave"


def test_everything_has_a_name_for_a_screen_reader(page, files):
    page.choose(files(picture(90, 120)))
    page.made()
    page.run("for (const each of document.querySelectorAll('details')) each.open = true")
    for mode in ("upscale", "stylize"):
        page.pick("mode", mode)
        nodes = page.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
        roles = {"button", "link", "radio", "checkbox", "slider", "combobox", "spinbutton", "textbox", "img", "image"}
        shown = [node for node in nodes if not node["ignored"] and node["role"]["value"] in roles]
        assert len(shown) > 15
        assert [node["role"]["value"] for node in shown if not node.get("name", {}).get("value")] == []


def test_it_fits_every_width_in_dark_and_light(page, files):
    cdp = page.driver.execute_cdp_cmd
    page.choose(files(picture(90, 120)))
    page.made()
    page.run("for (const each of document.querySelectorAll('details')) each.open = true")
    try:
        for width, scheme in ((320, "dark"), (390, "light"), (768, "dark"), (1280, "light")):
            metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
            cdp("Emulation.setDeviceMetricsOverride", metrics)
            cdp("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
            assert page.run("return document.documentElement.scrollWidth") <= width
            ink, paper = (brightness(page.run(f"return getComputedStyle(settings).{name}")) for name in PAINTS)
            assert (ink > paper) == (scheme == "dark")
            assert abs(ink - paper) > 500
    finally:
        cdp("Emulation.clearDeviceMetricsOverride", {})
        cdp("Emulation.setEmulatedMedia", {"features": []})


def brightness(colour):
    return sum(int(part) for part in re.findall(r"\d+", colour)[:3])


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("Katsushika Hokusai, The Great Wave off Kanagawa (1831, public domain)", "Hokusai, 1831"),
        ("Vincent van Gogh, The Starry Night (1889, public domain)", "van Gogh, 1889"),
        ("J. M. W. Turner, The Wreck of a Transport Ship (about 1810, public domain)", "Turner, c. 1810"),
        ("Tesserae drawn for Impasto over Wassily Kandinsky, Composition VII (1913)", "Our drawing"),
        ("by my grandmother", "by my grandmother"),
        (None, ""),
    ],
)
def test_a_tile_names_the_painter_and_the_year(page, source, words):
    script = "const [source, done] = arguments; import('/web/words.js').then(({ painter }) => done(painter(source)))"
    assert page.driver.execute_async_script(script, source) == words


def test_a_tile_shows_the_colours_of_its_style(page):
    colours = "return [...document.querySelectorAll('#gallery i')].map((each) => each.style.background)"
    page["example"].click()
    page.until(lambda: all(each.count("rgb(") >= 5 for each in page.run(colours)))
    first, second = page.run(colours)
    assert first != second


@pytest.mark.parametrize(
    "name", ["photo.jpg", "my photo.jpg", "it's.png", 'a "b" c.png', "semi;colon,comma.png", "$HOME.jpg"]
)
def test_the_curl_line_is_safe_to_paste(page, name):
    line = page.driver.execute_async_script(
        "const [name, done] = arguments;"
        "import('/web/snippets.js').then((snippets) => done(snippets.curl('http://a/b?c=d&e=f', name, name)))",
        name,
    )
    words = shlex.split(line)
    assert words[0:2] == ["curl", "-F"]
    assert words[3:] == ["http://a/b?c=d&e=f", "-o", name]
    sent = words[2].removeprefix("image=@")
    assert (re.sub(r"\\(.)", r"\1", sent[1:-1]) if sent.startswith('"') else sent) == name


def test_its_policy_allows_nothing_from_outside(served):
    address, _, _ = served
    for path in ("/", "/web/page.js", "/web/page.css"):
        response = httpx.get(f"{address}{path}", trust_env=False)
        policy = response.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        again = httpx.get(f"{address}{path}", headers={"If-None-Match": response.headers["etag"]}, trust_env=False)
        assert (again.status_code, again.content) == (304, b"")
    missing = httpx.get(f"{address}/web/nothing.js", trust_env=False)
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
