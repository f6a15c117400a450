"""How many CPUs a container may use, read from cgroup files of both versions."""

import pytest

from service.engine.cgroup import permitted_cpus


@pytest.mark.parametrize(
    ("written", "expected"),
    [("200000 100000", 2), ("150000 100000", 2), ("5000 100000", 1), ("max 100000", None), ("nonsense", None)],
)
def test_version_2(tmp_path, written, expected):
    (tmp_path / "cpu.max").write_text(written + "\n")
    assert permitted_cpus(tmp_path) == expected


@pytest.mark.parametrize(("quota", "expected"), [("400000", 4), ("-1", None)])
def test_version_1(tmp_path, quota, expected):
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert permitted_cpus(tmp_path) == expected


def test_no_cgroup(tmp_path):
    assert permitted_cpus(tmp_path) is None
