"""Write docs/metrics.md from service/observability/metrics.py: every metric with its labels and its description."""

from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from service.observability.metrics import Metrics

PATH = Path(__file__).resolve().parent.parent / "docs" / "metrics.md"

_INTRODUCTION = """\
<!-- Written by `make settings` from service/observability/metrics.py. Change the descriptions there. -->
# Metrics

`GET /metrics` answers in the Prometheus text format. No label value comes from a client. [Alerts](alerts.md) uses these
metrics.

| metric | type | labels | meaning |
|---|---|---|---|
"""

_PROCESS = """
On Linux, the standard metrics of a process stand beside them: `impasto_process_resident_memory_bytes`,
`impasto_process_virtual_memory_bytes`, `impasto_process_cpu_seconds_total`, `impasto_process_start_time_seconds`,
`impasto_process_open_fds` and `impasto_process_max_fds`.
"""

_SUFFIXES = {"counter": "_total", "info": "_info"}


def main() -> None:
    """Write the page."""
    PATH.write_text(document(), encoding="utf-8")


def document() -> str:
    """Return the page."""
    metrics = Metrics(CollectorRegistry())
    rows = [_row(metric) for metric in vars(metrics).values() if isinstance(metric, MetricWrapperBase)]
    return _INTRODUCTION + "".join(rows) + _PROCESS


def _row(metric: MetricWrapperBase) -> str:
    (family,) = metric.describe()
    labels = ", ".join(f"`{name}`" for name in metric._labelnames)  # noqa: SLF001  # it has no public name
    return f"| `{family.name}{_SUFFIXES.get(family.type, '')}` | {family.type} | {labels} | {family.documentation} |\n"


if __name__ == "__main__":
    main()
