"""Both pictures are zoomed and moved together: by wheel, pinch, double click, drag and keys."""

import pytest
from selenium.webdriver import ActionChains, Keys
from selenium.webdriver.common.actions.wheel_input import ScrollOrigin

SCALE = "return Number(getComputedStyle(compare).getPropertyValue('--scale'))"
BOXES = """return ["before", "after"].map((each) => {
    const {x, y, width, height} = document.getElementById(each).getBoundingClientRect();
    return [x, y, width, height];
})"""


@pytest.fixture
def shown(page):
    """The page with an example and its preview, scrolled to the top."""
    page["example"].click()
    page.until(lambda: page.text("after-tag") == "Preview: Mosaic")
    page.run("scrollTo(0, 0)")
    return page


def wheel(page, pixels, dx=0, dy=0):
    origin = ScrollOrigin.from_element(page["frame"], dx, dy)
    ActionChains(page.driver).scroll_from_origin(origin, 0, pixels).perform()


def test_the_wheel_zooms_where_the_pointer_is_and_scrolls_the_page_otherwise(shown):
    left, top, width, height = shown.run(BOXES)[0]
    wheel(shown, -240, dx=-100)
    assert shown.run(SCALE) > 1.3
    before, after = shown.run(BOXES)
    assert before == after, "both pictures move together"
    point = left + width / 2 - 100
    assert abs((point - before[0]) / before[2] - (point - left) / width) < 0.01
    wheel(shown, 1000)
    assert shown.run(SCALE) == 1
    assert shown.run(BOXES)[0] == [left, top, width, height]
    assert shown.run("return scrollY") == 0


def test_a_double_click_comes_closer_and_a_drag_moves_the_pictures(shown):
    ActionChains(shown.driver).move_to_element_with_offset(shown["frame"], 60, 40).double_click().perform()
    assert shown.run(SCALE) == 2.5
    assert shown.run("return divide.value") == "50", "a click does not move the line"
    before = shown.run(BOXES)
    ActionChains(shown.driver).move_to_element_with_offset(shown["frame"], 60, 40).click_and_hold().move_by_offset(
        -30, -20
    ).release().perform()
    after = shown.run(BOXES)
    assert after[0] == after[1]
    assert [round(new - old) for new, old in zip(after[0], before[0], strict=True)] == [-30, -20, 0, 0]
    assert shown.run("return divide.value") == "50"
    ActionChains(shown.driver).move_to_element_with_offset(shown["frame"], 60, 40).double_click().perform()
    assert shown.run(SCALE) == 1


def test_the_keys_zoom_and_move_the_pictures(shown):
    frame = shown["frame"]
    frame.send_keys("+")
    assert shown.run(SCALE) == 1.5
    x = shown.run(BOXES)[0][0]
    frame.send_keys(Keys.ARROW_RIGHT)
    assert shown.run(BOXES)[0][0] < x
    frame.send_keys(Keys.ARROW_RIGHT * 20)
    box, right = shown.run(BOXES)[0], shown.run("return frame.getBoundingClientRect().right")
    assert abs(box[0] + box[2] - right) < 1, "it stops at the edge"
    frame.send_keys("1")
    assert abs(shown.run(BOXES)[1][2] - 451) < 1
    assert shown["actual"].get_attribute("aria-pressed") == "true"
    frame.send_keys("0")
    assert shown.run(SCALE) == 1
    assert not shown["whole"].is_enabled()
    shown["closer"].click()
    shown["closer"].click()
    shown["farther"].click()
    assert shown.run(SCALE) == 1.5
    shown["whole"].click()
    assert shown.run(SCALE) == 1


def test_two_fingers_zoom_and_what_lies_between_them_stays(shown):
    left, top, width, height = shown.run(
        "const {x, y, width, height} = frame.getBoundingClientRect(); return [x, y, width, height]"
    )
    x, y = left + width / 4, top + height / 2

    def touch(kind, *offsets):
        points = [{"x": x + offset, "y": y, "id": number} for number, offset in enumerate(offsets)]
        shown.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", -20)
    touch("touchStart", -20, 20)
    for apart in (25, 30, 40):
        touch("touchMove", -apart, apart)
    assert abs(shown.run(SCALE) - 2) < 0.05
    box = shown.run(BOXES)[1]
    assert abs((x - box[0]) / box[2] - 0.25) < 0.01
    touch("touchMove", -30, 50)
    touch("touchEnd")
    moved = shown.run(BOXES)[1]
    assert abs(moved[0] - box[0] - 10) < 0.5, "the pictures follow the fingers"
    assert abs(moved[2] - box[2]) < 0.5
    assert shown.run("return visualViewport.scale") == 1, "the browser has not zoomed the page"


def test_pictures_side_by_side_move_together(shown):
    shown["beside"].click()
    shown["frame"].send_keys("++")
    before, after = shown.run(BOXES)
    assert before[1:] == after[1:]
    assert after[0] - before[0] > 100
    shown["frame"].send_keys(Keys.ARROW_DOWN)
    moved = shown.run(BOXES)
    assert moved[0][1] == moved[1][1] < before[1]
