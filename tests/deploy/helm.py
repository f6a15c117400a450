"""Helm itself, offline, over k8s/chart. Run by .venv-deploy's Python, which has Helm as a library.

Standard input: JSON with `values`, `name` and `namespace`. Standard output: JSON with `manifests` (text by template),
`lint` (Helm's messages) and `error` (why it refused; then the others are empty).
"""

import json
import sys

from helm_python import chart
from helm_python.errors import HelmError

CHART = "k8s/chart"


def main() -> None:
    """Do all three."""
    asked = json.load(sys.stdin)
    report = chart.lint(CHART, asked["values"], strict=True, namespace=asked["namespace"], kube_version="v1.37.0")
    try:
        with chart.Chart.load(CHART) as loaded:
            loaded.validate_schema(asked["values"])
            rendered = loaded.render(asked["values"], name=asked["name"], namespace=asked["namespace"])
    except HelmError as error:
        json.dump({"manifests": {}, "lint": [], "error": str(error)}, sys.stdout)
        return
    json.dump({"manifests": rendered, "lint": report["messages"], "error": ""}, sys.stdout)


if __name__ == "__main__":
    main()
