"""Three replicas as processes over one Redis: they are killed in turn, and Redis is restarted, and no job is lost."""

import pytest

from tests.service.auth.test_quotas import redis_server  # noqa: F401  # a fixture
from tests.service.jobs.fleet import SIGNALS, disturbed

JOBS = 240
"""`make soak` sends 10,000: tests/soak/test_replicas.py."""


@pytest.mark.long
def test_no_job_is_lost_while_replicas_are_killed_and_redis_restarts(tmp_path, redis_server):  # noqa: F811
    figures = disturbed(tmp_path, redis_server, JOBS)
    assert (figures["processes_ended"], figures["redis_restarts"]) == (len(SIGNALS), 1)
