"""What a container may use of its machine. Who counts the machine's cores instead starts far too many threads."""

import math
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")


def permitted_cpus(root: Path = _ROOT) -> int | None:
    """Whole CPUs that the cgroup's quota (v2 or v1) allows, rounded up, at least 1; None where it sets none."""
    try:
        if (root / "cpu.max").exists():
            quota, period = (root / "cpu.max").read_text().split()
        else:
            quota, period = ((root / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return max(1, math.ceil(int(quota) / int(period))) if int(quota) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):  # no cgroup here, or "max"
        return None
