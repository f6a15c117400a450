"""The queue before a device that a test holds in its hand: what comes next, what shares a pass, who is told what."""

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from nets.architecture import Facts
from service.engine.scheduler import Scheduler
from service.engine.task import Job, Limits
from service.errors import DeadlineError, InferenceError, UnavailableError

TILE = 1024
UPSCALER = SimpleNamespace(
    key="upscale/x2", label="upscale/x2", facts=Facts(scale=2, halo=1, radius=1, approximable=False)
)
OTHER = SimpleNamespace(
    key="upscale/x4", label="upscale/x4", facts=Facts(scale=4, halo=1, radius=1, approximable=False)
)
STYLE = SimpleNamespace(
    key="stylize/mosaic", label="stylize/mosaic", facts=Facts(scale=1, halo=None, radius=8, approximable=True)
)


class Ledger:
    """Adds up what an observer hears."""

    def __init__(self):
        self.jobs = self.pixels = 0
        self.passes, self.left = [], []

    def queued(self, _key, jobs, pixels):
        self.jobs += jobs
        self.pixels += pixels

    def batched(self, items, pixels):
        self.passes.append((items, pixels))

    def dropped(self, reason):
        self.left.append(reason)


class Desk:
    """A scheduler, what its jobs were told, and passes computed by hand: every pixel becomes 7."""

    def __init__(self, batch_pixels=10**6, devices=1, lanes=1):
        self.ledger, self.told = Ledger(), {}
        self.scheduler = Scheduler(self.ledger, lambda _model: batch_pixels, 4, devices, lanes)

    def submit(self, name, height=10, width=10, model=UPSCALER, cost=0.001, **more):
        plan = Limits(2000, TILE).plan(model.facts, height, width)
        picture = np.zeros((height, width, 3), np.uint8)
        job = Job(model, picture, plan, cost, lambda outcome: self.told.setdefault(name, outcome), **more)
        self.scheduler.submit(job)
        return job

    def compute(self, batch, answer=None):
        for piece in batch.pieces:
            if piece.window is None:
                self.scheduler.reduced(piece, "statistics", 0.5)
                return
        scale = batch.model.facts.scale
        answers = [
            np.full((piece.window.height * scale, piece.window.width * scale, 3), 7, np.uint8) for piece in batch.pieces
        ]
        self.scheduler.done(batch, answers if answer is None else [answer] * len(answers), 0.5)

    def finish(self):
        """Compute until nothing is left; the sizes of the passes."""
        self.scheduler.close()
        sizes = []
        while (batch := self.scheduler.take()) is not None:
            sizes.append(len(batch.pieces))
            self.compute(batch)
        assert (self.ledger.jobs, self.ledger.pixels) == (0, 0)
        return sizes


def names(batch, **jobs):
    return [next(name for name, job in jobs.items() if job is piece.job) for piece in batch.pieces]


def test_an_idle_device_takes_what_is_there_and_a_busy_one_finds_a_batch():
    desk = Desk()
    a = desk.submit("a")
    assert names(desk.scheduler.take(), a=a) == ["a"]
    b, c, d = desk.submit("b"), desk.submit("c", model=OTHER), desk.submit("d")
    assert (desk.ledger.jobs, desk.ledger.pixels) == (3, 300)
    assert names(desk.scheduler.take(), b=b, c=c, d=d) == ["b", "d"]
    assert names(desk.scheduler.take(), c=c) == ["c"]


@pytest.mark.parametrize(("batch_pixels", "sizes"), [(0, [1] * 6), (250, [2, 2, 2]), (10**6, [4, 2])])
def test_a_batch_grows_to_the_pixels_that_are_worth_it_and_to_its_most_items(batch_pixels, sizes):
    desk = Desk(batch_pixels)
    for name in "abcdef":
        desk.submit(name)
    assert desk.finish() == sizes
    assert set(desk.told) == set("abcdef")


def test_other_sizes_and_models_do_not_share_a_pass():
    desk = Desk()
    desk.submit("a"), desk.submit("b", height=11), desk.submit("c", model=OTHER), desk.submit("d", model=STYLE)
    assert desk.finish() == [1, 1, 1, 1]


def test_tiles_of_different_pictures_share_a_pass_and_are_put_together():
    desk = Desk()
    desk.submit("a", 40, 60), desk.submit("b", 40, 60)
    sizes = desk.finish()
    assert sum(sizes) == 2 * len(Limits(2000, TILE).plan(UPSCALER.facts, 40, 60).windows) > 4
    assert max(sizes) == 4
    for name in "ab":
        assert desk.told[name].shape == (80, 120, 3)
        assert (desk.told[name] == 7).all()


class SlowFacts:
    """Facts whose scale takes time to read: whatever is done between two reads of it can be overtaken."""

    halo, radius, approximable = 1, 1, False

    @property
    def scale(self):
        time.sleep(0.05)
        return 2


def test_two_windows_that_end_at_once_after_a_restart_are_both_in_the_output():
    desk = Desk(batch_pixels=0, devices=2)
    model = SimpleNamespace(key="upscale/x2", label="upscale/x2", facts=SlowFacts())
    expected = np.random.default_rng(0).integers(1, 255, (80, 120, 3)).astype(np.uint8)

    def compute(batch):
        window = batch.pieces[0].window
        bottom, right = window.top + window.height, window.left + window.width
        desk.scheduler.done(batch, [expected[2 * window.top : 2 * bottom, 2 * window.left : 2 * right]], 0.5)

    job = desk.submit("a", 40, 60, model=model)
    desk.scheduler.again(desk.scheduler.take().pieces[0], Limits(2000, TILE // 2).plan(model.facts, 40, 60))
    threads = [threading.Thread(target=compute, args=[desk.scheduler.take()]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    while not job.over:
        compute(desk.scheduler.take())
    assert (desk.told["a"] == expected).all()


def test_a_shorter_job_goes_first_until_the_longer_one_has_waited_four_times_its_cost():
    desk = Desk()
    now = time.monotonic()
    long = desk.submit("long", cost=10.0, entered=now)
    short = desk.submit("short", cost=0.1, entered=now + 39)
    late = desk.submit("late", cost=0.1, entered=now + 41, model=OTHER)
    order = [names(desk.scheduler.take(), long=long, short=short, late=late) for _ in range(2)]
    assert order == [["short", "long"], ["late"]]


def test_a_small_picture_interrupts_a_large_one_but_not_one_like_itself():
    desk = Desk()
    large = desk.submit("large", 40, 25, cost=1.0)
    batch = desk.scheduler.take()
    assert desk.scheduler.take(instead_of=batch) is None
    small = desk.submit("small", 10, 25, cost=0.1, model=OTHER)
    middle = desk.submit("middle", 11, 25, cost=0.1, model=OTHER)
    assert names(desk.scheduler.take(instead_of=batch), small=small) == ["small"]
    assert desk.scheduler.take(instead_of=batch) is None  # more than a quarter of its pixels
    assert names(desk.scheduler.take(), middle=middle, large=large) == ["middle"]


def companion(desk):
    """Takes one batch on a thread of its own, as a companion does; what it took, once it has."""
    taken = []
    thread = threading.Thread(target=lambda: taken.append(desk.scheduler.take(beside=True)), daemon=True)
    thread.start()
    return thread, taken


def test_a_side_worker_takes_nothing_from_a_worker_without_other_work():
    desk = Desk(batch_pixels=0)
    thread, taken = companion(desk)
    only = desk.submit("only")
    thread.join(0.05)
    batch = desk.scheduler.take()
    assert names(batch, only=only) == ["only"]
    desk.scheduler.close()
    desk.compute(batch)
    thread.join(5)
    assert taken == [None]


def test_a_side_worker_takes_small_images_and_leaves_the_rest():
    desk = Desk(batch_pixels=0)
    large = desk.submit("large", 1500, 1400, model=STYLE, cost=0.001)
    desk.submit("another large one", 1500, 1400, model=STYLE, cost=0.001)
    thread, taken = companion(desk)
    thread.join(0.05)
    assert thread.is_alive()
    small = desk.submit("small", cost=9.0)
    thread.join(5)
    assert names(taken[0], small=small, large=large) == ["small"]


def test_under_contention_a_deadline_counts_side_by_side_time():
    desk = Desk(batch_pixels=0, lanes=2)
    tight = desk.submit("tight", cost=20.0, expires=time.monotonic() + 30)
    assert names(desk.scheduler.take(), tight=tight) == ["tight"]  # alone it has all threads
    desk.submit("tight, too", cost=20.0, expires=time.monotonic() + 30)
    loose = desk.submit("loose", cost=10.0, expires=time.monotonic() + 30)
    assert names(desk.scheduler.take(), loose=loose) == ["loose"]
    assert isinstance(desk.told["tight, too"], DeadlineError)


def test_a_lone_picture_of_many_windows_has_all_threads_until_its_deadline():
    desk = Desk(batch_pixels=0, lanes=2)
    desk.submit("wide", 32, 300, cost=20.0, expires=time.monotonic() + 30)
    assert desk.scheduler.take() is not None
    assert not desk.told


def test_a_single_image_of_many_tiles_is_shared_with_a_side_worker():
    desk = Desk(batch_pixels=0)
    desk.submit("wide", 32, 300)
    thread, taken = companion(desk)
    thread.join(5)
    assert len(taken[0].pieces) == 1
    desk.compute(taken[0])
    assert len(desk.finish()) > 1


def test_a_task_that_has_waited_longer_is_not_preempted():
    desk = Desk()
    desk.submit("large", 40, 25, cost=1.0, entered=time.monotonic() - 10)
    batch = desk.scheduler.take()
    desk.submit("small", 5, 5, cost=0.1)
    assert desk.scheduler.take(instead_of=batch) is None


def test_a_cancelled_caller_is_not_computed_and_does_not_affect_others():
    desk = Desk()
    a, b, c = desk.submit("a"), desk.submit("b"), desk.submit("c")
    desk.scheduler.cancel(b)
    desk.scheduler.cancel(b)
    batch = desk.scheduler.take()
    assert names(batch, a=a, c=c) == ["a", "c"]
    desk.scheduler.cancel(c)
    assert batch.wanted
    desk.compute(batch)
    assert desk.finish() == []
    assert set(desk.told) == {"a"}
    assert desk.ledger.left == ["client_left", "client_left"]


def test_remaining_tiles_of_a_cancelled_caller_are_not_computed():
    desk = Desk(batch_pixels=0)
    job = desk.submit("a", 100, 100)
    batch = desk.scheduler.take()
    desk.scheduler.cancel(job)
    assert not batch.wanted
    desk.compute(batch)
    assert desk.finish() == []
    assert desk.told == {}


def test_a_deadline_that_cannot_be_met_any_more_ends_a_job_before_it_is_computed():
    desk = Desk()
    now = time.monotonic()
    desk.submit("late", cost=1.0, expires=now + 0.9)
    desk.submit("in_time", cost=1.0, expires=now + 1000)
    assert desk.finish() == [1]
    assert isinstance(desk.told["late"], DeadlineError)
    assert isinstance(desk.told["in_time"], np.ndarray)
    assert desk.ledger.left == ["deadline"]


def test_a_failure_ends_its_job_alone_and_in_our_own_words():
    desk = Desk(batch_pixels=0)
    desk.submit("a", 100, 100), desk.submit("b")
    first = desk.scheduler.take()
    desk.compute(first, answer=RuntimeError("secrets of the device"))
    failed, other = ("b", "a") if first.pieces[0].pixels == 100 else ("a", "b")
    desk.finish()
    assert isinstance(desk.told[failed], InferenceError)
    assert "secrets" not in str(desk.told[failed])
    assert isinstance(desk.told[other], np.ndarray)


def test_tiles_of_a_style_wait_for_the_statistics_of_the_reduced_pass():
    desk = Desk(batch_pixels=0)
    desk.submit("a", 100, 100, model=STYLE)
    reduced = desk.scheduler.take()
    assert [piece.window for piece in reduced.pieces] == [None]
    other = desk.submit("b", 50, 50, cost=1.0)
    assert names(desk.scheduler.take(), b=other) == ["b"]
    desk.compute(reduced)
    following = desk.scheduler.take()
    assert following.pieces[0].window is not None
    assert following.pieces[0].job.statistics == "statistics"


def test_a_job_begun_again_takes_no_answer_of_its_first_try():
    desk = Desk(batch_pixels=0)
    job = desk.submit("a", 40, 25)
    first = desk.scheduler.take()
    desk.scheduler.again(first.pieces[0], Limits(2000, 500).plan(UPSCALER.facts, 40, 25))
    assert not first.wanted
    desk.compute(first)
    assert not job.over
    assert len(desk.finish()) > 1
    assert (desk.told["a"] == 7).all()


def test_what_is_queued_is_finished_after_close_and_nothing_more_is_taken():
    desk = Desk()
    desk.submit("a")
    desk.scheduler.close()
    with pytest.raises(UnavailableError) as refused:
        desk.submit("b")
    assert refused.value.headers["Retry-After"] == "5"
    assert desk.finish() == [1]
    assert set(desk.told) == {"a"}


def test_a_lost_device_leaves_no_caller_waiting():
    desk = Desk()
    desk.submit("a"), desk.submit("b")
    begun = desk.scheduler.take()
    desk.submit("c", model=OTHER)
    desk.scheduler.fail_all(UnavailableError("the device failed"))
    desk.compute(begun)
    assert {name: type(outcome) for name, outcome in desk.told.items()} == dict.fromkeys("abc", UnavailableError)
    with pytest.raises(UnavailableError):
        desk.submit("d")


def test_the_seconds_ahead_of_a_task_are_shared_by_the_devices():
    desk = Desk(devices=2)
    desk.submit("a", cost=2.0), desk.submit("b", cost=4.0)
    assert desk.scheduler.seconds_before() == pytest.approx(3.0)
    assert desk.scheduler.seconds_before(rank=time.monotonic() + 4 * 3.0) == pytest.approx(1.0)
    assert desk.scheduler.seconds_before(rank=0.0) == 0.0
