"""What is no picture, what is a hard one, and what goes wrong around it: a sentence, and everything else goes on."""

import httpx
import pytest

from tests.conftest import encoded, picture
from tests.heic import LYING
from tests.service.faults import PLAIN, WAIT, faulty_picture

HUGE = """const files = new DataTransfer();
files.items.add(new File([new Uint8Array(100e6)], "huge.jpg", {type: "image/jpeg"}));
document.body.dispatchEvent(new DragEvent("drop", {bubbles: true, cancelable: true, dataTransfer: files}));"""
ADDRESS = """const data = new DataTransfer();
data.setData("text/uri-list", "https://example.org/photo.jpg");
document.body.dispatchEvent(new DragEvent("drop", {bubbles: true, cancelable: true, dataTransfer: data}));"""


def goes_on(page, name="good.png"):
    """The next picture is painted."""
    page.drop(encoded(picture(30, 50)), name, "image/png")
    page.until(lambda: page.text("status").startswith(name))
    assert not page["trouble"].is_displayed()
    page.made()


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize(
    ("data", "name", "words"),
    [
        (b"only words", "notes.jpg", "notes.jpg is not a picture that this server can read."),
        (b"", "empty.png", "empty.png is empty."),
        (None, "huge.jpg", "huge.jpg has 100 MB; this server takes at most 250 kB."),
        ("address", "", "That is an address or a text, not a picture. Save the picture first, and drop its file."),
    ],
)
def test_what_is_no_picture_is_named_and_the_next_one_works(page, data, name, words, before):
    if before:
        goes_on(page, "first.png")
    if isinstance(data, bytes):
        page.drop(data, name, "image/jpeg")
    else:
        page.run(ADDRESS if data else HUGE)
    assert page.trouble() == words
    if before:
        assert page["before"].is_displayed()
    goes_on(page)


@pytest.mark.parametrize(
    ("data", "name", "size"), [(LYING, "phone.heic", "32 x 48"), (encoded(picture(1, 1)), "dot.png", "1 x 1")]
)
def test_a_picture_that_is_rare_is_painted_and_enlarged(page, data, name, size):
    page.drop(data, name, "")
    page.until(lambda: page.text("status") == f"{name}, {size}")
    page.until(lambda: page.text("after-tag") == "Preview: Mosaic")
    page.made()
    page.pick("mode", "upscale")
    page.made()
    goes_on(page)


def test_a_number_is_checked_while_it_is_typed(page):
    page.drop(encoded(picture(30, 50)), "photo.png", "image/png")
    page.until(page["go"].is_enabled)
    page.run("for (const each of document.querySelectorAll('details')) each.open = true")
    for words, typed in {
        "The largest value is 100.": "101",
        "This has to be a whole number.": "71.5",
        "The smallest value is 1.": "0",
        "": "71",
    }.items():
        page["quality"].clear()
        page["quality"].send_keys(typed)
        assert page.text("quality-fault") == words
        assert page["quality-fault"].is_displayed() == bool(words)
        assert page["quality"].get_attribute("aria-invalid") == ("true" if words else None)
    assert "quality-fault" in page["quality"].get_attribute("aria-describedby")
    page.pick("mode", "upscale")
    page.set("factor", 7)
    assert page.text("factor-fault") == "The largest value is 4."
    page.all("#factors button")[0].click()
    assert page.text("factor-fault") == ""


def test_a_slow_network_is_told_and_the_work_can_be_cancelled(page, served):
    """150 kB at 30 kB/s, with half a second to every answer."""
    conditions = {"offline": False, "latency": 500, "downloadThroughput": 60_000, "uploadThroughput": 30_000}
    page.drop(encoded(picture(200, 260)), "slow.png", "image/png")
    page.until(lambda: page.text("after-tag") == "Preview: Mosaic")
    page.driver.execute_cdp_cmd("Network.enable", {})
    page.driver.execute_cdp_cmd("Network.emulateNetworkConditions", conditions)
    try:
        page.go()
        page.until(lambda: page.text("status") == "Uploading")
        page.until(lambda: float(page["bar"].get_attribute("value") or 0) > 0.2)
        page["cancel"].click()
        page.until(lambda: page.text("status") == "Cancelled.")
        page.go()
        page.until(page["outcome"].is_displayed, 40)
    finally:
        conditions = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        page.driver.execute_cdp_cmd("Network.emulateNetworkConditions", conditions)
    goes_on(page)


def test_a_network_that_is_gone_and_comes_back(page):
    page.drop(encoded(picture(30, 50)), "photo.png", "image/png")
    page.until(lambda: page.text("after-tag") == "Preview: Mosaic")
    page.driver.execute_cdp_cmd("Network.enable", {})
    offline = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    page.driver.execute_cdp_cmd("Network.emulateNetworkConditions", {"offline": True, **offline})
    try:
        page.go()
        assert page.trouble() == "Can't reach the server."
        assert page.text("trouble-hint") == "Your picture is still here; try again."
    finally:
        page.driver.execute_cdp_cmd("Network.emulateNetworkConditions", {"offline": False, **offline})
    page.made()


def test_the_time_left_is_told_in_the_queue_too(page, served):
    address, net, _ = served
    seconds = 40
    page.drop(encoded(faulty_picture(PLAIN + 3)), "photo.png", "image/png")
    page.until(page["go"].is_enabled)
    line = page.driver.execute_async_script(
        """const done = arguments[arguments.length - 1];
        import("/web/working.js").then(({ tell }) => {
            tell({state: "queued", position: 3, seconds_left: arguments[0]});
            done(document.getElementById("status").textContent);
        });""",
        seconds,
    )
    assert line == "In the queue: 2 before you, about 40 s left"
    with httpx.Client(base_url=address, trust_env=False) as other:
        job = {"Prefer": "respond-async"}
        other.post("/upscale?factor=2", content=encoded(faulty_picture(WAIT)), headers=job)
        assert net.waiting.acquire(timeout=20)
        second = other.post("/upscale?factor=2", content=encoded(faulty_picture(PLAIN)), headers=job)
        assert "seconds_left" in other.get(second.headers["location"]).json()
        net.go.set()
