"""The queue: the order of tasks, what shares a batch, and the result of each task."""

import threading
import time

import numpy as np
import pytest

from nets.architecture import Facts
from service.engine.tiling_plan import TilingLimits
from service.errors import DeadlineError, InferenceError, UnavailableError
from tests.service.engine.harness import OTHER, STYLE, TILE, UPSCALER, Harness, model, names


def test_an_idle_device_starts_at_once_and_a_busy_one_collects_a_batch():
    harness = Harness()
    a = harness.submit("a")
    assert names(harness.scheduler.take(), a=a) == ["a"]
    b, c, d = harness.submit("b"), harness.submit("c", model=OTHER), harness.submit("d")
    assert (harness.counts.tasks, harness.counts.pixels) == (3, 300)
    assert names(harness.scheduler.take(), b=b, c=c, d=d) == ["b", "d"]
    assert names(harness.scheduler.take(), c=c) == ["c"]


@pytest.mark.parametrize(("batch_pixels", "sizes"), [(0, [1] * 6), (250, [2, 2, 2]), (10**6, [4, 2])])
def test_a_batch_grows_up_to_the_limits_of_pixels_and_items(batch_pixels, sizes):
    harness = Harness(batch_pixels)
    for name in "abcdef":
        harness.submit(name)
    assert harness.finish() == sizes
    assert set(harness.results) == set("abcdef")


def test_different_sizes_and_models_do_not_share_a_batch():
    harness = Harness()
    (
        harness.submit("a"),
        harness.submit("b", height=11),
        harness.submit("c", model=OTHER),
        harness.submit("d", model=STYLE),
    )
    assert harness.finish() == [1, 1, 1, 1]


def test_tiles_of_different_pictures_share_batches_and_are_joined():
    harness = Harness()
    harness.submit("a", 40, 60), harness.submit("b", 40, 60)
    sizes = harness.finish()
    assert sum(sizes) == 2 * len(TilingLimits(2000, TILE).plan(UPSCALER.facts, 40, 60).windows) > 4
    assert max(sizes) == 4
    for name in "ab":
        assert harness.results[name].shape == (80, 120, 3)
        assert (harness.results[name] == 7).all()


class SlowFacts:
    """Facts whose scale takes time to read, which widens the gap for a race."""

    halo, radius, approximable = 1, 1, False

    @property
    def scale(self):
        time.sleep(0.05)
        return 2


def test_two_windows_that_end_at_once_after_a_restart_are_both_in_the_output():
    harness = Harness(batch_pixels=0, devices=2)
    slow = model("upscale/x2", SlowFacts())
    expected = np.random.default_rng(0).integers(1, 255, (80, 120, 3)).astype(np.uint8)

    def compute(batch):
        window = batch.items[0].window
        bottom, right = window.top + window.height, window.left + window.width
        harness.scheduler.complete(batch, [expected[2 * window.top : 2 * bottom, 2 * window.left : 2 * right]], 0.5)

    task = harness.submit("a", 40, 60, model=slow)
    plan = TilingLimits(2000, TILE // 2).plan(slow.facts, 40, 60)
    harness.scheduler.restart(harness.scheduler.take().items[0], plan)
    threads = [threading.Thread(target=compute, args=[harness.scheduler.take()]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    while not task.over:
        compute(harness.scheduler.take())
    assert (harness.results["a"] == expected).all()


def test_a_shorter_task_goes_first_until_the_longer_one_has_waited_four_times_its_cost():
    harness = Harness()
    now = time.monotonic()
    long = harness.submit("long", cost=10.0, submitted=now)
    short = harness.submit("short", cost=0.1, submitted=now + 39)
    late = harness.submit("late", cost=0.1, submitted=now + 41, model=OTHER)
    order = [names(harness.scheduler.take(), long=long, short=short, late=late) for _ in range(2)]
    assert order == [["short", "long"], ["late"]]


def test_styles_of_one_trunk_share_a_batch_and_other_styles_do_not():
    harness = Harness()
    facts = Facts(scale=1, halo=None, radius=8, approximable=True)
    wave, udnie = (model(f"stylize/{name}", facts, "atelier@sha256:1") for name in ("wave", "udnie"))
    other = model("stylize/mosaic", facts, "atelier@sha256:2")
    alone = model("stylize/candy", facts)
    tasks = {
        name: harness.submit(name, model=of)
        for name, of in (("a", wave), ("b", other), ("c", udnie), ("d", alone), ("e", wave), ("f", alone))
    }
    harness.scheduler.close()
    batches = []
    while (batch := harness.scheduler.take()) is not None:
        batches.append(names(batch, **tasks))
        harness.compute(batch)
    assert batches == [["a", "c", "e"], ["b"], ["d", "f"]]


def test_a_cancelled_task_is_not_computed_and_its_batch_goes_on():
    harness = Harness()
    a, b, c = harness.submit("a"), harness.submit("b"), harness.submit("c")
    harness.scheduler.cancel(b)
    harness.scheduler.cancel(b)
    batch = harness.scheduler.take()
    assert names(batch, a=a, c=c) == ["a", "c"]
    harness.scheduler.cancel(c)
    assert batch.needed
    harness.compute(batch)
    assert harness.finish() == []
    assert set(harness.results) == {"a"}
    assert harness.counts.dropped == ["client_left", "client_left"]


def test_the_remaining_tiles_of_a_cancelled_task_are_not_computed():
    harness = Harness(batch_pixels=0)
    task = harness.submit("a", 100, 100)
    batch = harness.scheduler.take()
    harness.scheduler.cancel(task)
    assert not batch.needed
    harness.compute(batch)
    assert harness.finish() == []
    assert harness.results == {}


def test_a_task_that_cannot_meet_its_deadline_is_dropped():
    harness = Harness()
    now = time.monotonic()
    harness.submit("late", cost=1.0, expires=now + 0.9)
    harness.submit("in_time", cost=1.0, expires=now + 1000)
    assert harness.finish() == [1]
    assert isinstance(harness.results["late"], DeadlineError)
    assert isinstance(harness.results["in_time"], np.ndarray)
    assert harness.counts.dropped == ["deadline"]


def test_a_failure_ends_only_its_task_and_hides_internal_messages():
    harness = Harness(batch_pixels=0)
    harness.submit("a", 100, 100), harness.submit("b")
    first = harness.scheduler.take()
    harness.compute(first, output=RuntimeError("secrets of the device"))
    failed, other = ("b", "a") if first.items[0].pixels == 100 else ("a", "b")
    harness.finish()
    assert isinstance(harness.results[failed], InferenceError)
    assert "secrets" not in str(harness.results[failed])
    assert isinstance(harness.results[other], np.ndarray)


def test_tiles_of_a_style_wait_for_the_statistics_of_the_reduced_pass():
    harness = Harness(batch_pixels=0)
    harness.submit("a", 100, 100, model=STYLE)
    reduced = harness.scheduler.take()
    assert [item.window for item in reduced.items] == [None]
    other = harness.submit("b", 50, 50, cost=1.0)
    assert names(harness.scheduler.take(), b=other) == ["b"]
    harness.compute(reduced)
    following = harness.scheduler.take()
    assert following.items[0].window is not None
    assert following.items[0].task.statistics == "statistics"


def test_a_restarted_task_ignores_the_output_of_its_old_plan():
    harness = Harness(batch_pixels=0)
    task = harness.submit("a", 40, 25)
    first = harness.scheduler.take()
    harness.scheduler.restart(first.items[0], TilingLimits(2000, 500).plan(UPSCALER.facts, 40, 25))
    assert not first.needed
    harness.compute(first)
    assert not task.over
    assert len(harness.finish()) > 1
    assert (harness.results["a"] == 7).all()


def test_after_close_queued_tasks_finish_and_new_ones_are_refused():
    harness = Harness()
    harness.submit("a")
    harness.scheduler.close()
    with pytest.raises(UnavailableError) as refused:
        harness.submit("b")
    assert refused.value.headers["Retry-After"] == "5"
    assert harness.finish() == [1]
    assert set(harness.results) == {"a"}


def test_a_lost_device_fails_all_tasks():
    harness = Harness()
    harness.submit("a"), harness.submit("b")
    started = harness.scheduler.take()
    harness.submit("c", model=OTHER)
    harness.scheduler.fail_all(UnavailableError("the device failed"))
    harness.compute(started)
    assert {name: type(result) for name, result in harness.results.items()} == dict.fromkeys("abc", UnavailableError)
    with pytest.raises(UnavailableError):
        harness.submit("d")


def test_the_seconds_before_a_task_are_those_of_earlier_tasks_divided_by_the_devices():
    harness = Harness(devices=2)
    harness.submit("a", cost=2.0), harness.submit("b", cost=4.0)
    assert harness.scheduler.seconds_before() == pytest.approx(3.0)
    assert harness.scheduler.seconds_before(rank=time.monotonic() + 4 * 3.0) == pytest.approx(1.0)
    assert harness.scheduler.seconds_before(rank=0.0) == 0.0
