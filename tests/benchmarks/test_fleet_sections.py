"""What is written of several processes, of bulk and of the job store in docs/results.md."""

import bulk
import job_store
import replicas
from report import soak


def killed(lost: int = 0) -> dict:
    return {"processes": "2", **dict.fromkeys(replicas.KEPT, "40"), "own results": str(40 - lost), "started twice": "1"}


def latencies(redis: float) -> list[dict]:
    return [{"jobs in": name, "p50, ms": each} for name, each in (("memory", 100.0), ("Redis", redis))]


def test_a_lost_job_and_a_slower_request_miss_their_targets():
    good = replicas.document([{"processes": "2"}], [killed()], latencies(104.0))
    assert "with the bytes of an undisturbed one: met" in good
    assert "unchanged by the job store: met, 1.04 times" in good
    bad = replicas.document([{"processes": "2"}], [killed(), killed(lost=1)], latencies(110.0))
    assert "with the bytes of an undisturbed one: missed" in bad
    assert "unchanged by the job store: missed, 1.10 times" in bad


def test_threads_are_shared_and_never_none():
    assert replicas.threads(1) >= replicas.threads(2) >= replicas.threads(1000) == 1


def test_bulk_is_compared_after_its_start():
    runs = {
        "stylize": bulk.Run(22.0, [(2.0 + number, 0.3) for number in range(20)]),
        "bulk": bulk.Run(32.0, [(12.0 + 0.9 * number, 0.3) for number in range(20)]),
    }
    assert [round(run.steady, 3) for run in runs.values()] == [0.3, 0.333]
    text = bulk.document(runs, 0.4, 20)
    assert "20 outputs have the same bytes" in text
    assert "met, 1.11" in text


def test_the_cost_of_a_job_is_that_of_the_largest():
    rows = [{"bytes of each": "1", "p50, ms": 1.0}, {"bytes of each": "2", "p50, ms": 5.5}]
    assert "Target, 5 ms (p50): missed, at most 5.5 ms" in job_store.document(rows)


def test_ten_thousand_jobs_in_words():
    run = {"jobs": 10000, "seconds": 385, "processes_ended": 18, "redis_restarts": 2, "computed_twice": 2}
    assert "every 20 s (18 in all), and Redis 2 times" in soak.replicas(run | {"kill_seconds": 20.0})
