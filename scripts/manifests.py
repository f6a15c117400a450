"""Write what is kept twice, since neither Kustomize nor Helm reads a file outside of its folder.

docker/prometheus/rules.yml and docker/grafana/dashboards/impasto.json are the originals. `--check` writes nothing and
exits with 1 where a copy differs.
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
RULES = ROOT / "docker/prometheus/rules.yml"
DASHBOARD = ROOT / "docker/grafana/dashboards/impasto.json"

_OPERATORS_RULES = """\
# Written by `make manifests` from docker/prometheus/rules.yml, which says what the rules are for.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: impasto
  namespace: impasto
  labels:
    release: kube-prometheus-stack # as in servicemonitor.yaml
spec:
"""


def copies() -> dict[Path, str]:
    """Every file that is written, and its text."""
    groups = RULES.read_text().split("\ngroups:\n", 1)[1]
    indented = "".join(
        f"  {line}" if line.strip() else line for line in ["groups:\n", *groups.splitlines(keepends=True)]
    )
    dashboard = json.dumps(json.loads(DASHBOARD.read_text()), separators=(",", ":"), ensure_ascii=False) + "\n"
    return {
        ROOT / "k8s/chart/files/rules.yaml": "# Written by `make manifests`.\ngroups:\n" + groups,
        ROOT / "k8s/chart/files/dashboard.json": dashboard,
        ROOT / "k8s/components/monitoring/rules.yaml": _OPERATORS_RULES + indented,
        ROOT / "k8s/components/monitoring/impasto.json": dashboard,
    }


def main() -> int:
    """Write the copies, or tell which differ."""
    differ = [path for path, text in copies().items() if not path.exists() or path.read_text() != text]
    for path in differ:
        if "--check" not in sys.argv:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(copies()[path])
        print(path.relative_to(ROOT))
    return int("--check" in sys.argv and bool(differ))


if __name__ == "__main__":
    sys.exit(main())
