"""IMPASTO_JOB_RESULTS: large results of jobs in Redis are objects in a real S3 server."""

import asyncio
from contextlib import ExitStack

import obstore
import pytest
from prometheus_client import CollectorRegistry

from service.errors import StartupError
from service.jobs.record import Bounds, JobSpec, Outcome
from service.jobs.redis_store import RedisStore
from service.observability.metrics import Metrics
from service.pipeline.large_results import LargeResults
from service.storage.location import parse_location
from service.storage.objects import Objects
from tests.conftest import encoded, picture
from tests.service.auth.test_keys import service
from tests.service.auth.test_quotas import redis, redis_server  # noqa: F401  # a fixture
from tests.service.http.test_bad_input import refused
from tests.service.http.test_jobs import ask, finished, promised
from tests.service.storage.s3 import BUCKET
from tests.service.webhooks.receiver import within

IMAGE = encoded(picture(10, 12))


@pytest.fixture
def store(s3, redis_server, tmp_path, monkeypatch):  # noqa: F811
    """The address of an empty Redis, while the environment names the S3 server."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    with redis(redis_server, tmp_path) as (port, _):
        yield f"redis://127.0.0.1:{port}/0"


@pytest.fixture
def replicas(store, checkpoints):
    """Start two replicas whose results above a size are objects."""
    with ExitStack() as stack:

        def start(prefix=f"s3://{BUCKET}/results", **settings):
            given = {"job_store": store, "job_results": prefix, "job_result_bytes": 0} | settings
            return [stack.enter_context(service(checkpoints, **given)) for _ in range(2)]

        yield start


def kept(s3):
    return {each["path"]: each["size"] for page in obstore.list(s3.store, "results") for each in page}


def test_any_replica_serves_a_large_result_and_it_is_deleted_with_its_job(replicas, s3):
    one, other = replicas()
    direct = one.post("/upscale?factor=2", content=IMAGE)
    path = promised(ask(one, body=IMAGE))
    assert finished(one, path)["bytes"] == len(direct.content)
    assert list(kept(s3).values()) == [len(direct.content)]
    assert next(iter(kept(s3))).startswith(f"results/{path.removeprefix('/jobs/')}-1")
    for each in (one, other):
        result = each.get(f"{path}/result")
        assert (result.status_code, result.content) == (200, direct.content)
        for header in ("content-type", "etag", "impasto-model"):
            assert result.headers[header] == direct.headers[header]
    assert other.delete(path).status_code == 204
    within(lambda: not kept(s3))


def test_a_small_result_stays_in_redis_and_so_does_one_that_the_storage_refuses(replicas, s3, caplog):
    small, _ = replicas(job_result_bytes=10_000)
    assert small.get(f"{promised_result(small)}/result").status_code == 200
    assert "a large result stays in Redis" not in caplog.text
    refusing, _ = replicas("s3://missing/results")
    assert refusing.get(f"{promised_result(refusing)}/result").status_code == 200
    assert "a large result stays in Redis" in caplog.text
    assert not kept(s3)


def promised_result(client):
    path = promised(ask(client, body=IMAGE))
    assert finished(client, path)["state"] == "done"
    return path


def test_a_result_that_cannot_be_read_is_503_and_one_that_is_gone_404(replicas, s3, store, checkpoints):
    one, _ = replicas()
    path = promised_result(one)
    with service(checkpoints, job_store=store, job_results="s3://missing/results") as elsewhere:
        refused(elsewhere.get(f"{path}/result"), 404, "unknown_job")
    with service(checkpoints, job_store=store) as without:
        assert "IMPASTO_JOB_RESULTS" in refused(without.get(f"{path}/result"), 503, "unavailable")["detail"]
    s3.delete(next(iter(kept(s3))))
    refused(one.get(f"{path}/result"), 404, "unknown_job")


def test_what_a_dead_replica_wrote_is_collected(store, s3):
    """A replica reserves and writes, and dies before the job is done; or it finishes too late."""

    async def both():
        bounds = Bounds(most_jobs=8, most_bytes=4096, result_seconds=60, lease_seconds=15, most_attempts=3)
        redis_store = RedisStore(store, bounds, {}, {}, Metrics(CollectorRegistry()))
        large = LargeResults(parse_location(f"s3://{BUCKET}/results/"), 2, Objects(), redis_store)
        await redis_store.add(JobSpec("upscale", b"payload"))
        lease = await redis_store.start()
        outcome = await large.move(lease, Outcome("done", {"format": "png"}, b"pixels"))
        assert (outcome.result, outcome.size_bytes) == (b"", 6)
        await large.collect()
        assert list(kept(s3)) == [f"results/{outcome.object}"], "it is reserved for an hour"
        await redis_store.reserve(outcome.object, 0)
        await large.collect()
        assert kept(s3) == {}
        assert not await redis_store.finish(lease.job.identity, 1, outcome), "its bytes are gone"
        outcome = await large.move(lease, Outcome("done", {"format": "png"}, b"pixels"))
        assert await redis_store.finish(lease.job.identity, 1, outcome)
        await large.collect()
        job = await redis_store.find(lease.job.identity, "")
        assert (job.result_bytes, await large.read(job)) == (6, b"pixels")
        assert (await redis_store.sweep()).bytes == 0
        await redis_store.remove(lease.job.identity)
        await large.collect()
        assert kept(s3) == {}
        assert await redis_store.discarded(9, 0) == []
        await redis_store.close()

    asyncio.run(both())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "IMPASTO_JOB_RESULTS=s3://b/x: expected IMPASTO_JOB_STORE=redis://"),
        ({"job_results": "b/x", "job_store": "redis://127.0.0.1:9/0"}, "IMPASTO_JOB_RESULTS=b/x: it is malformed"),
    ],
)
def test_wrong_settings_stop_the_start(checkpoints, settings, said):
    with pytest.raises(StartupError, match=said), service(checkpoints, **{"job_results": "s3://b/x"} | settings):
        pass
