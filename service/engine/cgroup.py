"""The CPU limit of a container. The core count of the machine would give far too many threads."""

import math
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")


def permitted_cpus(root: Path = _ROOT) -> int | None:
    """Return the CPU quota of the cgroup (v2 or v1), rounded up, at least 1; None without a quota."""
    try:
        if (root / "cpu.max").exists():
            quota, period = (root / "cpu.max").read_text().split()
        else:
            quota, period = ((root / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return max(1, math.ceil(int(quota) / int(period))) if int(quota) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):  # there is no cgroup, or the quota is "max"
        return None
