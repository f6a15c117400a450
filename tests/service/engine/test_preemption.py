"""Which task interrupts a pass, among the tasks of one owner and of several."""

import time

from tests.service.engine.harness import OTHER, STYLE, Harness, flooded, names


def test_a_small_task_preempts_a_large_one_but_not_one_of_its_size():
    harness = Harness()
    large = harness.submit("large", 40, 25, cost=1.0)
    batch = harness.scheduler.take()
    assert harness.scheduler.take_preempting(batch) is None
    small = harness.submit("small", 10, 25, cost=0.1, model=OTHER)
    middle = harness.submit("middle", 11, 25, cost=0.1, model=OTHER)
    assert names(harness.scheduler.take_preempting(batch), small=small) == ["small"]
    assert harness.scheduler.take_preempting(batch) is None  # more than a quarter of its pixels
    assert names(harness.scheduler.take(), middle=middle, large=large) == ["middle"]


def test_a_task_that_has_waited_longer_is_not_preempted():
    harness = Harness()
    harness.submit("large", 40, 25, cost=1.0, submitted=time.monotonic() - 10)
    batch = harness.scheduler.take()
    harness.submit("small", 5, 5, cost=0.1)
    assert harness.scheduler.take_preempting(batch) is None


def test_small_tasks_of_another_owner_preempt_until_they_have_added_an_eighth():
    harness = Harness(batch_pixels=0)
    harness.submit("poster", height=30, width=30, cost=4.0, owner="q")
    poster = harness.scheduler.take()
    for i in range(20):
        harness.submit(f"thumbnail {i}", cost=0.25, owner="F")
    interruptions = 0
    while (batch := harness.scheduler.take_preempting(poster)) is not None:
        harness.compute(batch)
        interruptions += 1
    assert interruptions == 3, "an eighth of 4 s, and the one that crosses it"


def test_a_quiet_owners_task_preempts_a_flood_and_is_not_preempted_by_it():
    harness = Harness(batch_pixels=0)
    harness.submit("first", cost=1.0, owner="F")
    first = harness.scheduler.take()
    harness.submit("second", cost=1.0, owner="F")
    quiet = harness.submit("quiet", cost=1.0, owner="q")
    batch = harness.scheduler.take_preempting(first)
    assert [item.task for item in batch.items] == [quiet]
    assert harness.scheduler.take_preempting(batch) is None


def test_a_quiet_owners_task_preempts_although_a_side_worker_has_started_since():
    harness, flood_pass, _ = flooded()
    quiet = harness.submit("quiet", cost=1.0, owner="q")
    assert [item.task for item in harness.scheduler.take_preempting(flood_pass).items] == [quiet]


def test_a_large_task_of_another_owner_does_not_preempt():
    harness = Harness(batch_pixels=0)
    harness.submit("first", height=2000, width=1100, cost=1.0, owner="F", model=STYLE)
    first = harness.scheduler.take()
    harness.submit("quiet", height=2000, width=1100, cost=1.0, owner="q", model=STYLE)
    assert harness.scheduler.take_preempting(first) is None
