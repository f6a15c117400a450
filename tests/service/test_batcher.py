"""The batcher over a device that a test holds in its hand: what shares a batch, who is told what."""

import asyncio

import pytest

from service.batcher import Batcher
from service.errors import InferenceError, UnavailableError


class HandHeldDevice:
    """Runs a batch when the test says so: negates numbers, fails on "bad", as a whole on "fatal"."""

    def __init__(self):
        self.batches = []
        self.free = asyncio.Event()

    async def run(self, key, items):
        self.batches.append((key, list(items)))
        await self.free.wait()
        if "fatal" in items:
            raise RuntimeError("the device is gone")
        if "lost" in items:
            return []
        return [ValueError("bad picture") if item == "bad" else -item for item in items]


class Ledger:
    """Adds up what an observer hears."""

    def __init__(self):
        self.jobs = self.pixels = 0

    def queued(self, key, jobs, pixels):
        self.jobs += jobs
        self.pixels += pixels

    def batched(self, items, pixels):
        pass


def with_batcher(scenario, max_items=8):
    """Run `scenario(batcher, device, ledger)` on a fresh event loop."""

    async def body():
        device, ledger = HandHeldDevice(), Ledger()
        batcher = Batcher(device.run, max_items, ledger)
        batcher.start()
        try:
            return await scenario(batcher, device, ledger)
        finally:
            await batcher.stop()
            assert (ledger.jobs, ledger.pixels) == (0, 0)

    return asyncio.run(body())


async def submit_all(batcher, *jobs):
    """A task per (key, item), in order, each in the queue before the next."""
    tasks = []
    for key, item in jobs:
        tasks.append(asyncio.create_task(batcher.submit(key, item, 10)))
        await settle()
    return tasks


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


def test_an_idle_device_does_not_wait_and_a_busy_one_gathers():
    async def scenario(batcher, device, ledger):
        tasks = await submit_all(batcher, ("a", 1), ("a", 2), ("b", 3), ("a", 4))
        assert device.batches == [("a", [1])]  # at once, alone
        assert (ledger.jobs, ledger.pixels) == (3, 30)
        device.free.set()
        results = await asyncio.gather(*tasks)
        assert [result for result, _ in results] == [-1, -2, -3, -4]
        assert device.batches == [("a", [1]), ("a", [2, 4]), ("b", [3])]
        assert all(timing.queue_seconds >= 0 and timing.forward_seconds >= 0 for _, timing in results)

    with_batcher(scenario)


def test_a_batch_has_its_limit():
    async def scenario(batcher, device, ledger):
        tasks = await submit_all(batcher, *(("a", i) for i in range(1, 7)))
        device.free.set()
        await asyncio.gather(*tasks)
        assert device.batches == [("a", [1]), ("a", [2, 3]), ("a", [4, 5]), ("a", [6])]

    with_batcher(scenario, max_items=2)


def test_one_items_failure_is_its_own():
    async def scenario(batcher, device, ledger):
        tasks = await submit_all(batcher, ("a", 1), ("a", 2), ("a", "bad"), ("a", 3))
        device.free.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert device.batches[1] == ("a", [2, "bad", 3])
        assert isinstance(results[2], InferenceError)
        assert [results[i][0] for i in (0, 1, 3)] == [-1, -2, -3]

    with_batcher(scenario)


def test_an_item_that_fails_its_whole_batch_fails_alone():
    async def scenario(batcher, device, ledger):
        tasks = await submit_all(batcher, ("a", 1), ("a", 2), ("a", "fatal"), ("a", 3))
        device.free.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(results[2], InferenceError)
        assert "gone" not in str(results[2])  # the log has the device's own words
        assert [results[i][0] for i in (0, 1, 3)] == [-1, -2, -3]
        assert device.batches[1:] == [
            ("a", [2, "fatal", 3]),
            ("a", [2]),
            ("a", ["fatal", 3]),
            ("a", ["fatal"]),
            ("a", [3]),
        ]
        assert batcher.alive

    with_batcher(scenario)


def test_a_caller_who_leaves_the_queue_is_not_computed_and_breaks_no_neighbour():
    async def scenario(batcher, device, ledger):
        tasks = await submit_all(batcher, ("a", 1), ("a", 2), ("a", 3), ("a", 4))
        tasks[2].cancel()
        await settle()
        assert ledger.jobs == 2
        device.free.set()
        assert [(await tasks[i])[0] for i in (0, 1, 3)] == [-1, -2, -4]
        assert device.batches == [("a", [1]), ("a", [2, 4])]

    with_batcher(scenario)


def test_a_caller_who_leaves_during_the_batch_breaks_no_neighbour():
    async def scenario(batcher, device, ledger):
        tasks = await submit_all(batcher, ("a", 1), ("a", 2))
        tasks[0].cancel()
        await settle()
        device.free.set()
        assert (await tasks[1])[0] == -2

    with_batcher(scenario)


def test_what_is_still_queued_at_the_end_is_told_so():
    async def scenario(batcher, device, ledger):
        in_hand, queued = await submit_all(batcher, ("a", 1), ("b", 2))
        await batcher.stop()
        for task in (in_hand, queued):
            with pytest.raises(UnavailableError):
                await task
        assert not batcher.alive
        with pytest.raises(UnavailableError):
            await batcher.submit("a", 3, 10)

    with_batcher(scenario)


def test_a_device_that_loses_an_answer_leaves_no_caller_waiting():
    async def scenario(batcher, device, ledger):
        device.free.set()
        (task,) = await submit_all(batcher, ("a", "lost"))
        with pytest.raises(InferenceError):
            await task
        assert (await batcher.submit("a", 1, 10))[0] == -1

    with_batcher(scenario)
