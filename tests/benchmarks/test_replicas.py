"""Two real processes behind nginx with jobs in Redis are killed in turn, as benchmarks/replicas.py does it."""

import asyncio
import shutil
from pathlib import Path

import pytest
import replicas
from fleet import Fleet
from server import redis

from tests.end_to_end.test_proxies import tool
from tests.service.auth.test_quotas import redis_server  # noqa: F401  # a fixture

CHECKPOINTS = Path(__file__).resolve().parents[2] / "checkpoints"


@pytest.mark.long
def test_every_job_is_answered_once_to_its_owner(tmp_path, redis_server):  # noqa: F811
    tool("nginx")
    for name in ("stylize/mosaic.safetensors", "trunks/atelier.safetensors"):
        (tmp_path / name).parent.mkdir()
        shutil.copy(CHECKPOINTS / name, tmp_path / name)
    with redis() as port, Fleet(tmp_path, 2, port, tmp_path).started(tmp_path) as fleet:
        found = asyncio.run(replicas.kills(fleet, port, seconds=4))
    assert int(found["jobs"]) >= replicas.WORKING
    assert {found[name] for name in replicas.KEPT} == {found["jobs"]}
