"""A flood of one key beside a quiet one: who is served when, and who is let in."""

import asyncio
import threading
import time
from contextlib import contextmanager, nullcontext

import pytest
from prometheus_client import CollectorRegistry

from service.engine.fair_queue import Shares
from service.errors import OverloadedError, QuotaError
from service.observability.metrics import Metrics
from service.pipeline.admission import Admission
from tests.service.engine.test_scheduler import STYLE, Desk


def order(desk):
    """Whose passes come, in that order, until nothing is left."""
    desk.scheduler.close()
    owners = []
    while (batch := desk.scheduler.take()) is not None:
        owners += [piece.job.owner for piece in batch.pieces]
        desk.compute(batch)
    return "".join(owners)


def test_a_quiet_owner_waits_for_one_pass_of_a_flood():
    desk = Desk(batch_pixels=0)
    for i in range(20):
        desk.submit(f"flood {i}", cost=1.0, owner="F")
    begun = desk.scheduler.take()
    desk.submit("quiet", cost=1.0, owner="q")
    desk.compute(begun)
    assert order(desk) == "q" + "F" * 19


def test_owners_share_the_device_evenly_by_seconds_and_not_by_jobs():
    desk = Desk(batch_pixels=0)
    for i in range(8):
        desk.submit(f"short {i}", cost=1.0, owner="s")
    for i in range(2):
        desk.submit(f"long {i}", cost=4.0, owner="L")
    assert order(desk) in {"sLsssssLss", "sLssssLsss"}


def test_among_one_owners_jobs_the_shorter_goes_first_as_before():
    desk = Desk(batch_pixels=0)
    long, short = desk.submit("long", cost=9.0, owner="a"), desk.submit("short", cost=0.1, owner="a")
    assert [desk.scheduler.take().pieces[0].job for _ in range(2)] == [short, long]


def test_many_owners_are_served_in_turn():
    desk = Desk(batch_pixels=0)
    for owner in "abc":
        for i in range(3):
            desk.submit(f"{owner}{i}", cost=1.0, owner=owner)
    turns = order(desk)
    assert [set(turns[i : i + 3]) for i in (0, 3, 6)] == [set("abc")] * 3


def test_a_small_picture_of_another_interrupts_and_a_flood_of_them_adds_an_eighth_at_most():
    desk = Desk(batch_pixels=0)
    desk.submit("poster", height=30, width=30, cost=4.0, owner="q")
    poster = desk.scheduler.take()
    for i in range(20):
        desk.submit(f"thumbnail {i}", cost=0.25, owner="F")
    interruptions = 0
    while (batch := desk.scheduler.take(instead_of=poster)) is not None:
        desk.compute(batch)
        interruptions += 1
    assert interruptions == 3, "an eighth of 4 s, and the one that crosses it"


def test_a_short_pass_is_interrupted_by_one_of_another_and_not_by_a_flood():
    for many, interrupts in ((1, True), (20, False)):
        desk = Desk(batch_pixels=0)
        desk.submit("photograph", height=30, width=30, cost=0.5, owner="q")
        photograph = desk.scheduler.take()
        for i in range(many):
            desk.submit(f"thumbnail {i}", cost=0.01, owner="F")
        assert (desk.scheduler.take(instead_of=photograph) is not None) is interrupts


def test_a_quiet_owners_picture_interrupts_one_of_a_flood_and_is_not_interrupted_by_the_next():
    desk = Desk(batch_pixels=0)
    desk.submit("first", cost=1.0, owner="F")
    first = desk.scheduler.take()
    desk.submit("second", cost=1.0, owner="F")
    quiet = desk.submit("quiet", cost=1.0, owner="q")
    batch = desk.scheduler.take(instead_of=first)
    assert [piece.job for piece in batch.pieces] == [quiet]
    assert desk.scheduler.take(instead_of=batch) is None


def flooded(jobs=6):
    """A flood's jobs, of which the worker and its companion have one each."""
    desk = Desk(batch_pixels=0)
    for i in range(jobs):
        desk.submit(f"flood {i}", cost=1.0, owner="F")
    return desk, desk.scheduler.take(), desk.scheduler.take(beside=True)


def test_an_image_of_a_quiet_owner_preempts_what_a_side_worker_has_begun():
    desk, pass_of_flood, _ = flooded()
    quiet = desk.submit("quiet", cost=1.0, owner="q")
    assert [piece.job for piece in desk.scheduler.take(instead_of=pass_of_flood).pieces] == [quiet]


def test_a_side_worker_leaves_an_image_of_a_quiet_owner_to_the_worker_and_waits():
    desk, pass_of_flood, pass_beside = flooded()
    assert pass_beside.pieces[0].job.owner == "F"
    desk.submit("quiet", cost=1.0, owner="q")
    paused, began, went_on = [], threading.Event(), threading.Event()

    @contextmanager
    def pausing():
        paused.append(1)
        began.set()
        yield
        paused.pop()

    def companion():
        desk.scheduler.give_way(pass_beside, pausing())
        went_on.set()
        desk.compute(pass_beside)
        while (batch := desk.scheduler.take(beside=True)) is not None:
            taken.append(batch.pieces[0].job.owner)
            desk.compute(batch)

    taken = []
    quiet = desk.scheduler.take(instead_of=pass_of_flood)
    thread = threading.Thread(target=companion, daemon=True)
    thread.start()
    assert began.wait(5)
    assert not went_on.wait(0.05)
    assert paused
    desk.compute(quiet)
    assert went_on.wait(5)
    assert not paused
    desk.compute(pass_of_flood)
    while set(taken) != {"F"}:
        time.sleep(0.01)
    desk.finish()
    thread.join(5)
    assert set(taken) == {"F"}


def test_a_cancelled_side_worker_does_not_wait():
    desk, pass_of_flood, pass_beside = flooded()
    desk.submit("quiet", cost=1.0, owner="q")
    desk.scheduler.take(instead_of=pass_of_flood)
    thread = threading.Thread(target=desk.scheduler.give_way, args=(pass_beside, nullcontext()), daemon=True)
    thread.start()
    thread.join(0.05)
    assert thread.is_alive()
    desk.scheduler.cancel(pass_beside.pieces[0].job)
    thread.join(5)
    assert not thread.is_alive()


def test_owners_of_comparable_load_are_served_side_by_side():
    desk = Desk(batch_pixels=0)
    for owner in "aab":
        desk.submit(f"{owner} {len(desk.ledger.passes)}", cost=1.0, owner=owner)
    first, beside = desk.scheduler.take(), desk.scheduler.take(beside=True)
    assert {first.pieces[0].job.owner, beside.pieces[0].job.owner} == {"a", "b"}
    desk.scheduler.give_way(beside, nullcontext())


def test_a_large_picture_of_another_waits_for_the_pass_to_end():
    desk = Desk(batch_pixels=0)
    desk.submit("first", height=2000, width=1100, cost=1.0, owner="F", model=STYLE)
    first = desk.scheduler.take()
    desk.submit("quiet", height=2000, width=1100, cost=1.0, owner="q", model=STYLE)
    assert desk.scheduler.take(instead_of=first) is None


def test_an_absent_owner_neither_gains_nor_loses_share():
    shares = Shares()
    for _ in range(100):
        shares.begin("busy", 1.0)
    assert shares.of("new") == 99.0
    assert shares.begin("new", 5.0) == 99.0
    assert shares.of("new") == 104.0


def test_an_owner_does_not_pay_for_use_without_competition():
    desk = Desk(batch_pixels=0)
    desk.submit("long", cost=9.0, owner="q")
    desk.submit("thumbnail", cost=0.1, owner="F")
    for _ in range(2):
        desk.compute(desk.scheduler.take())
    running = [desk.submit(f"flood {i}", cost=0.1, owner="F") for i in range(3)]
    flood = desk.scheduler.take()
    quiet = desk.submit("quiet", cost=9.0, owner="q")
    assert flood.pieces[0].job in running
    assert [piece.job for piece in desk.scheduler.take().pieces] == [quiet]


def test_owners_that_are_gone_are_forgotten():
    shares = Shares()
    for i in range(5000):
        shares.begin(f"owner {i}", 1.0)
        shares.begin("steady", 1.0)
    assert len(shares._had) <= 1025


def gate_of(requests=10, pixels=1000, share=0.5):
    gate = Admission(requests, pixels, lambda: 0.0, Metrics(CollectorRegistry()).requests_in_flight, share)
    gate.open = True
    return gate


def test_a_flood_of_one_owner_leaves_room_for_another():
    gate = gate_of(requests=4)
    with gate.request(owner="F"), gate.request(owner="F"):
        with pytest.raises(QuotaError, match="this key has 2 requests in flight, and may have 2") as caught:
            gate.refuse_if_full("F")
        assert caught.value.headers["Retry-After"] == "1"
        with gate.request(owner="q"), gate.request(owner="q"), pytest.raises(OverloadedError), gate.request(owner="z"):
            pass
    with gate.request(owner="F"):
        pass


def test_of_pixels_too_and_one_picture_is_always_let_in():
    gate = gate_of(pixels=1000)
    with gate.picture(900, "F"):
        with pytest.raises(QuotaError, match="900 pixels in flight, and may have 500"), gate.picture(100, "F"):
            pass
        with gate.picture(100, "q"):
            assert gate.pixels == 1000
    assert gate.pixels == 0


def test_a_patient_request_waits_for_room_among_its_owners():
    async def waiting():
        gate = gate_of(requests=2)
        with gate.request(owner="F"):
            room = asyncio.create_task(gate.room(owner="F"))
            await gate.room(owner="q")
            await asyncio.sleep(0)
            assert not room.done()
        await room

    asyncio.run(waiting())
