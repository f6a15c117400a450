"""A flood of one owner beside a quiet one: the order of service, and admission."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from service.engine.fair_queue import FairQueue
from service.errors import OverloadedError, QuotaError
from service.observability.metrics import Metrics
from service.pipeline.admission import Admission
from tests.service.engine.harness import Harness


def order(harness):
    """Whose passes come, in that order, until nothing is left."""
    harness.scheduler.close()
    owners = []
    while (batch := harness.scheduler.take()) is not None:
        owners += [item.task.owner for item in batch.items]
        harness.compute(batch)
    return "".join(owners)


def test_a_quiet_owner_waits_for_one_pass_of_a_flood():
    harness = Harness(batch_pixels=0)
    for i in range(20):
        harness.submit(f"flood {i}", cost=1.0, owner="F")
    started = harness.scheduler.take()
    harness.submit("quiet", cost=1.0, owner="q")
    harness.compute(started)
    assert order(harness) == "q" + "F" * 19


def test_owners_share_the_device_evenly_in_seconds_not_in_tasks():
    harness = Harness(batch_pixels=0)
    for i in range(8):
        harness.submit(f"short {i}", cost=1.0, owner="s")
    for i in range(2):
        harness.submit(f"long {i}", cost=4.0, owner="L")
    assert order(harness) in {"sLsssssLss", "sLssssLsss"}


def test_the_shortest_task_of_one_owner_goes_first():
    harness = Harness(batch_pixels=0)
    long, short = harness.submit("long", cost=9.0, owner="a"), harness.submit("short", cost=0.1, owner="a")
    assert [harness.scheduler.take().items[0].task for _ in range(2)] == [short, long]


def test_many_owners_take_turns():
    harness = Harness(batch_pixels=0)
    for owner in "abc":
        for i in range(3):
            harness.submit(f"{owner}{i}", cost=1.0, owner=owner)
    turns = order(harness)
    assert [set(turns[i : i + 3]) for i in (0, 3, 6)] == [set("abc")] * 3


def test_an_owner_that_returns_neither_saved_up_time_nor_pays_for_its_pause():
    queue = FairQueue()
    for _ in range(100):
        queue.charge("busy", 1.0)
    assert queue.start_tag("new") == 99.0
    queue.charge("new", 5.0)
    assert queue.start_tag("new") == 104.0


def test_device_time_that_nobody_else_wanted_is_free():
    harness = Harness(batch_pixels=0)
    harness.submit("long", cost=9.0, owner="q")
    harness.submit("thumbnail", cost=0.1, owner="F")
    for _ in range(2):
        harness.compute(harness.scheduler.take())
    running = [harness.submit(f"flood {i}", cost=0.1, owner="F") for i in range(3)]
    flood = harness.scheduler.take()
    quiet = harness.submit("quiet", cost=9.0, owner="q")
    assert flood.items[0].task in running
    assert [item.task for item in harness.scheduler.take().items] == [quiet]


def test_idle_owners_are_forgotten():
    queue = FairQueue()
    for i in range(5000):
        queue.charge(f"owner {i}", 1.0)
        queue.charge("steady", 1.0)
    assert len(queue) <= 1025


def admission_of(requests=10, pixels=1000, share=0.5):
    admission = Admission(requests, pixels, lambda: 0.0, Metrics(CollectorRegistry()).requests_in_flight, share)
    admission.open()
    return admission


def test_a_flood_of_one_owner_leaves_room_for_another():
    admission = admission_of(requests=4)
    with admission.request(owner="F"), admission.request(owner="F"):
        with pytest.raises(QuotaError, match="this key has 2 requests in flight, and may have 2") as caught:
            admission.refuse_if_full("F")
        assert caught.value.headers["Retry-After"] == "1"
        with (
            admission.request(owner="q"),
            admission.request(owner="q"),
            pytest.raises(OverloadedError),
            admission.request(owner="z"),
        ):
            pass
    with admission.request(owner="F"):
        pass


def test_of_pixels_too_and_one_picture_is_always_let_in():
    admission = admission_of(pixels=1000)
    with admission.pixels(900, "F"):
        with pytest.raises(QuotaError, match="900 pixels in flight, and may have 500"), admission.pixels(100, "F"):
            pass
        with admission.pixels(100, "q"):
            assert admission.pixels_in_flight == 1000
    assert admission.pixels_in_flight == 0


def test_a_request_that_may_wait_waits_for_a_permit_of_its_owner():
    async def waiting():
        admission = admission_of(requests=2)
        with admission.request(owner="F"):
            room = asyncio.create_task(admission.wait_for_request(owner="F"))
            await admission.wait_for_request(owner="q")
            await asyncio.sleep(0)
            assert not room.done()
        await room

    asyncio.run(waiting())
