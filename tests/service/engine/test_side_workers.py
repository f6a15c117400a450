"""What a side worker takes, and when it yields to the main worker."""

import threading
import time
from contextlib import contextmanager, nullcontext

from service.errors import DeadlineError
from tests.service.engine.harness import STYLE, Harness, flooded, names


def side_worker(harness):
    """Take one batch on another thread, as a side worker does. Returns the thread and a list for the batch."""
    taken = []
    thread = threading.Thread(target=lambda: taken.append(harness.scheduler.take_beside()), daemon=True)
    thread.start()
    return thread, taken


def test_a_side_worker_leaves_the_only_task_to_the_main_worker():
    harness = Harness(batch_pixels=0)
    thread, taken = side_worker(harness)
    only = harness.submit("only")
    thread.join(0.05)
    batch = harness.scheduler.take()
    assert names(batch, only=only) == ["only"]
    harness.scheduler.close()
    harness.compute(batch)
    thread.join(5)
    assert taken == [None]


def test_a_side_worker_takes_small_tasks_and_leaves_large_ones_to_the_main_worker():
    harness = Harness(batch_pixels=0)
    large = harness.submit("large", 1500, 1400, model=STYLE, cost=0.001)
    harness.submit("another large one", 1500, 1400, model=STYLE, cost=0.001)
    thread, taken = side_worker(harness)
    thread.join(0.05)
    assert thread.is_alive()
    small = harness.submit("small", cost=9.0)
    thread.join(5)
    assert names(taken[0], small=small, large=large) == ["small"]


def test_under_contention_a_task_is_late_by_its_time_on_one_thread():
    harness = Harness(batch_pixels=0, workers=2)
    tight = harness.submit("tight", cost=20.0, expires=time.monotonic() + 30)
    assert names(harness.scheduler.take(), tight=tight) == ["tight"]  # alone it has all threads
    harness.submit("tight, too", cost=20.0, expires=time.monotonic() + 30)
    loose = harness.submit("loose", cost=10.0, expires=time.monotonic() + 30)
    assert names(harness.scheduler.take(), loose=loose) == ["loose"]
    assert isinstance(harness.results["tight, too"], DeadlineError)


def test_a_single_task_of_many_windows_is_late_by_its_time_on_all_threads():
    harness = Harness(batch_pixels=0, workers=2)
    harness.submit("wide", 32, 300, cost=20.0, expires=time.monotonic() + 30)
    assert harness.scheduler.take() is not None
    assert not harness.results


def test_a_side_worker_shares_a_single_task_of_many_windows():
    harness = Harness(batch_pixels=0)
    harness.submit("wide", 32, 300)
    thread, taken = side_worker(harness)
    thread.join(5)
    assert len(taken[0].items) == 1
    harness.compute(taken[0])
    assert len(harness.finish()) > 1


def test_a_side_worker_leaves_a_quiet_owners_task_to_the_main_worker_and_yields_to_it():
    harness, flood_pass, side_pass = flooded()
    assert side_pass.items[0].task.owner == "F"
    harness.submit("quiet", cost=1.0, owner="q")
    paused, began, went_on = [], threading.Event(), threading.Event()

    @contextmanager
    def pausing():
        paused.append(1)
        began.set()
        yield
        paused.pop()

    def side_worker():
        harness.scheduler.yield_to_others(side_pass, pausing())
        went_on.set()
        harness.compute(side_pass)
        while (batch := harness.scheduler.take_beside()) is not None:
            taken.append(batch.items[0].task.owner)
            harness.compute(batch)

    taken = []
    quiet = harness.scheduler.take_preempting(flood_pass)
    thread = threading.Thread(target=side_worker, daemon=True)
    thread.start()
    assert began.wait(5)
    assert not went_on.wait(0.05)
    assert paused
    harness.compute(quiet)
    assert went_on.wait(5)
    assert not paused
    harness.compute(flood_pass)
    while set(taken) != {"F"}:
        time.sleep(0.01)
    harness.finish()
    thread.join(5)
    assert set(taken) == {"F"}


def test_a_paused_side_worker_goes_on_when_its_task_is_cancelled():
    harness, flood_pass, side_pass = flooded()
    harness.submit("quiet", cost=1.0, owner="q")
    harness.scheduler.take_preempting(flood_pass)
    thread = threading.Thread(target=harness.scheduler.yield_to_others, args=(side_pass, nullcontext()), daemon=True)
    thread.start()
    thread.join(0.05)
    assert thread.is_alive()
    harness.scheduler.cancel(side_pass.items[0].task)
    thread.join(5)
    assert not thread.is_alive()


def test_owners_of_comparable_load_run_side_by_side():
    harness = Harness(batch_pixels=0)
    for owner in "aab":
        harness.submit(f"{owner} {len(harness.counts.passes)}", cost=1.0, owner=owner)
    first, beside = harness.scheduler.take(), harness.scheduler.take_beside()
    assert {first.items[0].task.owner, beside.items[0].task.owner} == {"a", "b"}
    harness.scheduler.yield_to_others(beside, nullcontext())
