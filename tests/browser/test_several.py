"""Several pictures: the strip, settings for all or one, the ZIP, broken ones, many, and a server that restarts."""

import re
import zipfile

import pytest
from selenium.common.exceptions import TimeoutException

from tests.browser.page import Page
from tests.conftest import decoded, encoded
from tests.end_to_end.test_serve import address_in, service
from tests.service.engine.test_isolation import wait_until
from tests.service.faults import PLAIN, WAIT, faulty_picture

STATES = "return [...document.querySelectorAll('#pictures button')].map((each) => each.dataset.state)"
NAMES = ("dawn.png", "noon.png", "dusk.png")


@pytest.fixture
def files(tmp_path):
    """Three pictures in a folder, and a text between them."""
    folder = tmp_path / "holiday"
    (folder / "more").mkdir(parents=True)
    for shade, name in enumerate(NAMES):
        path = folder / ("more" if name == "dusk.png" else "") / name
        path.write_bytes(encoded(faulty_picture(PLAIN + shade, 40, 60)))
    (folder / "notes.jpg").write_bytes(b"only words")
    (folder / "list.txt").write_text("no picture")
    return [folder / "dawn.png", folder / "notes.jpg", folder / "noon.png", folder / "more" / "dusk.png"]


def choose(page, paths):
    page["file"].send_keys("\n".join(map(str, paths)))
    page.until(lambda: page["go"].is_enabled() and len(page.run(STATES)) == len(paths))


def drop(page, *paths):
    """From the desktop: real files, and folders."""
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        page.driver.execute_cdp_cmd("Input.dispatchDragEvent", {"type": kind, "x": 300, "y": 300, "data": data})


def finished(page, seconds=40):
    try:
        page.until(lambda: page.text("status").startswith("Done in"), seconds)
    except TimeoutException:
        raise AssertionError([page.text("status"), page.text("trouble"), page.run(STATES)]) from None


def archive(page, tmp_path):
    path = tmp_path / "impasto.zip"
    page["go" if page.text("go") == "Download all as a ZIP" else "zip"].click()
    page.until(lambda: path.exists() and zipfile.is_zipfile(path))
    with zipfile.ZipFile(path) as opened:
        assert opened.testzip() is None
        return {name: opened.read(name) for name in opened.namelist()}


def test_several_pictures_are_made_past_a_broken_one_and_saved_as_a_zip(page, files, tmp_path):
    choose(page, files)
    page.pick("mode", "upscale")
    assert page.text("go") == "Enlarge 4 pictures 2 times"
    page.go()
    finished(page)
    assert page.run(STATES) == ["done", "failed", "done", "done"]
    assert page.text("roll-count") == "4 pictures, 3 ready, 1 failed"
    assert "1 failed: choose a marked one" in page.text("status")
    assert page.text("go") == "Download all as a ZIP"
    saved = archive(page, tmp_path)
    assert sorted(saved) == ["dawn-x2.png", "dusk-x2.png", "noon-x2.png"]
    for name, path in zip(("dawn", "noon", "dusk"), (files[0], files[2], files[3]), strict=True):
        large = decoded(saved[f"{name}-x2.png"])
        assert (large[::2, ::2] == decoded(path.read_bytes())).all()
    page.all("#pictures button")[1].click()
    assert page.trouble() == "notes.jpg is not a picture that this server can read."
    page["remove"].click()
    page.until(lambda: page.text("roll-count") == "3 pictures, 3 ready")
    assert not page["trouble"].is_displayed()


def test_a_folder_is_dropped_with_the_folders_in_it(page, files, tmp_path):
    drop(page, files[0].parent)
    page.until(lambda: len(page.run(STATES)) == 4)  # the text is left out
    page.until(lambda: page.text("after-tag") == "Preview: Mosaic")
    page.go()
    finished(page)
    saved = archive(page, tmp_path)
    assert sorted(saved) == ["holiday/dawn-mosaic.png", "holiday/more/dusk-mosaic.png", "holiday/noon-mosaic.png"]


def test_one_picture_has_settings_of_its_own(page, files, tmp_path):
    choose(page, [files[0], files[2], files[3]])
    page.until(lambda: page.text("after-tag") == "Preview: Mosaic")
    page.all("#pictures button")[1].click()
    page.until(lambda: page.text("status").startswith("noon.png"))
    page["own-settings"].click()
    page.pick("style", "starry_night-full")
    page.all("#pictures button")[0].click()
    page.until(lambda: page.run("return settings.elements.style.value") == "mosaic")
    assert not page["own-settings"].is_selected()
    page.set("strength", 0.5)
    page.go()
    finished(page)
    assert sorted(archive(page, tmp_path)) == ["dawn-mosaic.png", "dusk-mosaic.png", "noon-starry_night-full.png"]
    page.all("#pictures button")[1].click()
    page.until(lambda: page.run("return settings.elements.style.value") == "starry_night-full")
    assert page["own-settings"].is_selected()
    page.until(page["outcome"].is_displayed)
    page.set("strength", 0.7)
    assert page.text("go") == "Paint 1 picture"
    assert page.run(STATES) == ["done", "stale", "done"]


def test_never_more_at_once_than_the_server_allows_and_cancelling_keeps_what_is_done(page, files, served):
    _, net, app = served
    waiting = files[0].parent / "wait.png"
    waiting.write_bytes(encoded(faulty_picture(WAIT, 40, 60)))
    choose(page, files[2:])
    page.pick("mode", "upscale")
    page.go()
    finished(page)
    drop(page, *[waiting] * 6)
    page.until(lambda: page.text("go") == "Enlarge 6 pictures 2 times")
    page.go()
    page.until(lambda: page.run(STATES).count("working") == 3)
    assert sum(not job.over.is_set() for job in app.state.jobs) <= 3
    page["cancel"].click()
    page.until(lambda: page.text("status") == "Cancelled.")
    assert page.run(STATES) == ["done"] * 2 + ["waiting"] * 6
    net.go.set()
    wait_until(lambda: all(job.over.is_set() for job in app.state.jobs))
    page.go()
    finished(page)
    assert {*page.run(STATES)} == {"done"}


def test_two_hundred_files_at_once_and_more_that_are_added(page, files):
    choose(page, [files[0]] * 199 + [files[1]])
    assert page.text("roll-count") == "200 pictures"
    drop(page, files[2])
    page.until(lambda: page.text("roll-count") == "201 pictures")
    assert page.run("return document.documentElement.scrollWidth <= innerWidth")
    page.pick("mode", "upscale")
    page.go()
    finished(page, 120)
    assert page.text("roll-count") == "201 pictures, 200 ready, 1 failed"


@pytest.mark.parametrize("killed", [True, False])
def test_pictures_are_made_although_the_server_restarts(driver, folder, files, tmp_path, killed):
    """Killed in the middle of its work, or shut down before it; another process then listens on the same port."""
    chosen = [files[0], files[2], files[3]]
    with service("tests.service.faults", checkpoints=folder, max_requests=2) as (process, lines):
        page = Page(driver, address_in(lines[0]), tmp_path)
        page.open()
        page.pick("mode", "upscale")
        if killed:
            chosen.append(tmp_path / "wait.png")
            chosen[-1].write_bytes(encoded(faulty_picture(WAIT, 40, 60)))
            choose(page, chosen)
            page.go()
            page.until(lambda: page.run(STATES) == ["done", "done", "done", "working"])
            process.kill()
        else:
            choose(page, chosen)
            process.terminate()
        process.wait(60)
        if not killed:
            page.go()
        page.until(lambda: re.search(r"Can't reach the server.* again in \d+ s", page.text("status")), 40)
        assert not page["trouble"].is_displayed()
    with service(checkpoints=folder, port=page.address.rsplit(":", 1)[1]):  # its network waits for nobody
        finished(page, 90)
        assert page.run(STATES) == ["done"] * len(chosen)
        assert len(archive(page, tmp_path)) == len(chosen)
    page.complaints()
    page.open("about:blank")


def test_a_style_that_is_gone_stops_the_work_and_is_named(page, files, wave):
    choose(page, [files[0], files[2]])
    page.pick("style", "wave")
    page.until(lambda: page.text("after-tag") == "Preview: Wave")
    wave()
    page.go()
    page.until(lambda: page.text("trouble-detail") == "Wave is no longer served. Mosaic is chosen now.")
    page.go()
    finished(page)
    assert page.run(STATES) == ["done", "done"]
