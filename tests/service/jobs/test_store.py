"""What a job store promises, with a real Redis."""

import asyncio
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from service.errors import IdempotencyError, OverloadedError, UnavailableError
from service.jobs.record import Bounds, JobSpec, Outcome
from service.jobs.redis_calls import PREFIX
from service.jobs.redis_store import RedisStore
from service.observability.metrics import Metrics
from tests.service.auth.test_quotas import redis, redis_server  # noqa: F401  # a fixture

ROOT = Path(__file__).parents[3]
BOUNDS = Bounds(most_jobs=8, most_bytes=4096, result_seconds=60, lease_seconds=15, most_attempts=3)
DONE = Outcome("done", {"format": "png"}, b"pixels")


@pytest.fixture
def run(redis_server, tmp_path):  # noqa: F811
    """Run a test of two replicas over one Redis."""

    def run(test, **bounds):
        async def both(port):
            limits = Bounds(**{**vars(BOUNDS), **bounds})
            address = run.address = f"redis://127.0.0.1:{port}/0"
            metrics = Metrics(CollectorRegistry())
            problems = {"code": "answer_too_large"}, {"code": "internal"}
            stores = [RedisStore(address, limits, *problems, metrics) for _ in range(2)]
            try:
                await test(*stores)
            finally:
                for store in stores:
                    await store.close()

        with redis(redis_server, tmp_path) as (port, process):
            run.process = process
            asyncio.run(both(port))

    return run


def spec(payload=b"picture", **facts):
    return JobSpec("transform", payload, {"style": "mosaic"}, **facts)


def test_any_replica_works_on_reports_and_serves_a_job(run):
    async def test(one, other):
        job, new = await one.add(spec(owner="alice", cost_seconds=2))
        assert (new, job.state, job.attempt) == (True, "queued", 0)
        assert await other.find(job.identity, "bob") is None
        lease = await other.start()
        assert (lease.job.identity, lease.payload, lease.job.facts) == (job.identity, b"picture", {"style": "mosaic"})
        assert await other.report({(job.identity, 1): {"tiles": 3}}) == set()
        running = await one.find(job.identity, "alice")
        assert (running.state, running.progress) == ("running", {"tiles": 3})
        assert await other.finish(job.identity, 1, DONE)
        done = await one.find(job.identity, "alice")
        assert (done.state, done.outcome, done.result_bytes) == ("done", {"format": "png"}, 6)
        assert await one.result(job.identity) == b"pixels"
        assert await one.result("unknown") is None
        assert (await one.sweep()) == (await other.sweep())
        await one.remove(job.identity)
        assert await other.find(job.identity, "alice") is None
        assert (await other.sweep()).bytes == 0

    run(test)


def test_a_job_of_a_dead_worker_is_taken_over_and_ended_once(run):
    async def test(one, other):
        job, _ = await one.add(spec())
        assert (await one.start()).job.attempt == 1
        assert await other.start() is None
        await asyncio.sleep(0.15)
        assert await other.start(take_over=False) is None
        assert (await other.start()).job.attempt == 2
        assert await one.report({(job.identity, 1): {}}) == {job.identity}
        assert not await one.finish(job.identity, 1, DONE)
        assert await other.finish(job.identity, 2, DONE)
        assert not await other.finish(job.identity, 2, DONE)

    run(test, lease_seconds=0.1)


def test_a_job_whose_workers_all_die_fails(run):
    async def test(one, other):
        job, _ = await one.add(spec())
        for _ in range(2):
            assert await one.start() is not None
            await asyncio.sleep(0.07)
        assert await other.start() is None
        failed = await other.find(job.identity, "")
        assert (failed.state, failed.outcome) == ("failed", {"code": "internal"})

    run(test, lease_seconds=0.05, most_attempts=2)


def test_a_reported_lease_goes_on(run):
    async def test(one, other):
        job, _ = await one.add(spec())
        await one.start()
        for _ in range(5):
            await asyncio.sleep(0.1)
            assert await one.report({(job.identity, 1): {}}) == set()
            assert await other.start() is None

    run(test, lease_seconds=0.3)


def test_a_released_job_is_started_again_at_once_and_has_lost_no_attempt(run):
    async def test(one, other):
        job, _ = await one.add(spec())
        for attempt in range(1, 5):
            assert (await one.start()).job.attempt == attempt
            assert await one.release(job.identity, attempt)
            assert not await one.release(job.identity, attempt)
        assert (await other.start()).job.attempt == 5
        assert not await one.finish(job.identity, 4, DONE)
        assert await other.finish(job.identity, 5, DONE)

    run(test, most_attempts=1)


def test_owners_take_turns_and_short_jobs_go_first(run):
    async def test(one, other):
        for cost in (5.0, 1.0, 3.0):
            await one.add(spec(owner="alice", cost_seconds=cost))
        for _ in range(2):
            await other.add(spec(owner="bob", cost_seconds=3.0))
        order = [(lease.job.owner, lease.job.cost_seconds) for lease in [await one.start() for _ in range(5)]]
        assert [cost for owner, cost in order if owner == "alice"] == [1, 3, 5]
        assert order[:4] == [("alice", 1), ("bob", 3), ("alice", 3), ("bob", 3)]

    run(test)


def test_a_cancelled_job_is_not_started_and_a_running_one_is_lost(run):
    async def test(one, other):
        first, _ = await one.add(spec())
        await other.remove(first.identity)
        assert await one.start() is None
        assert (await one.find(first.identity, "")).state == "cancelled"
        second, _ = await one.add(spec())
        await one.start()
        await other.remove(second.identity)
        assert await one.report({(second.identity, 1): {}}) == {second.identity}
        assert not await one.finish(second.identity, 1, DONE)
        assert (await one.sweep()).bytes == 0

    run(test)


def test_a_key_names_one_job_unless_it_failed_in_passing(run):
    async def test(one, other):
        job, _ = await one.add(spec(key="a", fingerprint="1"))
        again, new = await other.add(spec(key="a", fingerprint="1"))
        assert (again.identity, new) == (job.identity, False)
        with pytest.raises(IdempotencyError):
            await other.add(spec(key="a", fingerprint="2"))
        assert (await other.add(spec(key="a", fingerprint="2", owner="bob")))[1]
        await one.remove(job.identity)
        retried, new = await other.add(spec(key="a", fingerprint="1"))
        assert new
        leases = {lease.job.identity: lease for lease in [await one.start(), await one.start()]}
        attempt = leases[retried.identity].job.attempt
        assert await one.finish(retried.identity, attempt, Outcome("failed", {"code": "internal"}, may_pass=True))
        assert (await other.add(spec(key="a", fingerprint="1")))[1]

    run(test)


def test_the_store_is_bounded(run):
    async def test(one, other):
        with pytest.raises(OverloadedError, match="half of 4096"):
            await one.add(spec(bytes(2049)))
        jobs = [(await one.add(spec()))[0] for _ in range(3)]
        with pytest.raises(OverloadedError, match="3 jobs are kept"):
            await other.add(spec())
        for job in jobs:
            await other.start()
            assert await other.finish(job.identity, 1, Outcome("done", {}, bytes(1500)))
        assert (await one.sweep()).bytes == 3000  # the oldest result made room
        assert await one.find(jobs[0].identity, "") is None
        large, _ = await one.add(spec())
        await one.start()
        assert await one.finish(large.identity, 1, Outcome("done", {}, bytes(5000)))
        assert (await one.find(large.identity, "")).outcome == {"code": "answer_too_large"}

    run(test, most_jobs=3)


def test_results_are_forgotten_after_their_time(run):
    async def test(one, other):
        job, _ = await one.add(spec())
        await one.start()
        await one.finish(job.identity, 1, DONE)
        await asyncio.sleep(0.1)
        assert (await other.sweep()).finished == 0
        assert await one.find(job.identity, "") is None

    run(test, result_seconds=0.05)


def test_a_store_that_is_down_says_so(run):
    async def test(one, other):
        await one.add(spec())
        run.process.kill()
        run.process.wait()
        with pytest.raises(UnavailableError, match="does not respond"):
            await other.add(spec())

    run(test)


def test_the_store_tells_how_long_the_oldest_job_has_waited(run):
    async def test(one, other):
        for _ in range(2):
            await one.add(spec())
        await asyncio.sleep(0.05)
        counts = await other.sweep()
        assert (counts.queued, counts.running) == (2, 0)
        assert 0.05 <= counts.oldest_seconds < 5
        for _ in range(2):
            await one.start()
        counts = await other.sweep()
        assert (counts.queued, counts.running, counts.oldest_seconds) == (0, 2, 0)

    run(test)


def test_keda_counts_the_jobs_that_wait(run):
    """KEDA asks for the length of a key, whatever its type, and this one is a sorted set: ZCARD."""
    [patch] = yaml.safe_load((ROOT / "k8s/components/keda-jobs/trigger.yaml").read_text())
    key = patch["value"]["metadata"]["listName"]

    async def test(one, other):
        for _ in range(3):
            await one.add(spec())
        await other.start()
        async with Redis.from_url(run.address) as redis:
            assert (await redis.type(key), await redis.zcard(key)) == (b"zset", 2)

    run(test)


def test_bytes_that_no_script_takes_are_deleted(run):
    async def test(one, other):
        job, _ = await one.add(spec(key="a", fingerprint="1"))
        await other.add(spec(key="a", fingerprint="1"))
        with pytest.raises(IdempotencyError):
            await other.add(spec(key="a", fingerprint="2"))
        with pytest.raises(OverloadedError):
            await other.add(spec(bytes(3000)))
        await one.start()
        assert not await one.finish(job.identity, 2, DONE)
        assert await one.finish(job.identity, 1, DONE)
        async with Redis.from_url(run.address) as redis:
            assert await redis.keys("*staged*") == []
            assert await redis.ttl(f"{PREFIX}result:{job.identity}") == -1

    run(test)


def test_a_redis_without_memory_loses_no_job(run):
    async def test(one, other):
        job, _ = await one.add(spec())
        async with Redis.from_url(run.address) as redis:
            await redis.config_set("maxmemory", 1)
            with pytest.raises(UnavailableError):
                await other.add(spec())
            await redis.config_set("maxmemory", 0)
            await one.start()
            await redis.config_set("maxmemory", 1)
            with pytest.raises(UnavailableError):
                await one.finish(job.identity, 1, DONE)
            await redis.config_set("maxmemory", 0)
        assert (await other.sweep()).queued == 0
        assert await one.finish(job.identity, 1, DONE)
        assert await other.result(job.identity) == b"pixels"

    run(test)


def test_a_redis_that_forgot_the_scripts_gets_them_again(run):
    async def test(one, other):
        job, _ = await one.add(spec())
        async with Redis.from_url(run.address) as redis:
            await redis.script_flush()
            lease = await other.start()
            await redis.script_flush()
            assert await other.finish(job.identity, lease.job.attempt, DONE)
            await redis.script_flush()
            assert await one.result(job.identity) == b"pixels"

    run(test)


def test_a_store_of_another_version_is_refused_and_keeps_its_jobs(run):
    async def test(one, other):
        job, _ = await one.add(spec())
        async with Redis.from_url(run.address) as redis:
            written = await redis.get(f"{PREFIX}format")
            await redis.set(f"{PREFIX}format", "from later")
            for call in (other.add(spec()), other.start(), other.sweep(), other.find(job.identity, "")):
                with pytest.raises(UnavailableError, match="format 'from later'; expected '1'"):
                    await call
            await redis.set(f"{PREFIX}format", written)
        assert (await other.start()).job.identity == job.identity

    run(test)


def test_an_empty_store_takes_the_format_of_any_version(run):
    async def test(one, other):
        jobs = [(await one.add(spec()))[0].identity for _ in range(2)]
        async with Redis.from_url(run.address) as redis:
            for identity, kept in zip(jobs, (True, False), strict=True):
                await one.remove(identity)  # cancelled
                await one.remove(identity)  # forgotten
                assert bool(await redis.exists(f"{PREFIX}format")) is kept
        assert (await other.add(spec()))[0].state == "queued"

    run(test)
