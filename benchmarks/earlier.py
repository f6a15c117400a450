"""The results of servers that an earlier run left."""

import json
import sys
from pathlib import Path

Measured = dict[str, object]


def measured_before(path: Path, report: Measured) -> dict[tuple[str, str], Measured]:
    """Return the results by arm that an earlier run left.

    report: what is measured now. Exits if the earlier run measured something else: other images, settings or versions,
    or on another machine. Its date and its loops without a server may differ.
    """
    if not path.exists():
        return {}
    before = json.loads(path.read_text())
    differ = [
        key for key in report if key not in ("bare", "arms") and _lasting(report[key]) != _lasting(before.get(key))
    ]
    if differ:
        sys.exit(f"{path} has results with another {', '.join(differ)}: name another file with --json")
    return {(arm["name"], arm["setting"]): arm for arm in before["arms"]}


def _lasting(value: object) -> object:
    return {key: each for key, each in value.items() if key != "date"} if isinstance(value, dict) else value
