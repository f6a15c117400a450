"""Ten thousand jobs of three owners over three processes of which one ends every 20 s. `make soak`."""

import os

import pytest

from tests.service.auth.test_quotas import redis_server  # noqa: F401  # a fixture
from tests.service.jobs.fleet import disturbed
from tests.soak.book import record

pytestmark = pytest.mark.soak

JOBS = int(os.environ.get("IMPASTO_FLEET_JOBS", "10000"))
KILL_SECONDS = 20.0


def test_no_job_is_lost_while_replicas_are_killed_and_redis_restarts(tmp_path, redis_server):  # noqa: F811
    figures = disturbed(tmp_path, redis_server, JOBS, KILL_SECONDS)
    record("jobs of replicas", figures | {"kill_seconds": KILL_SECONDS})
    assert figures["processes_ended"] > 0
