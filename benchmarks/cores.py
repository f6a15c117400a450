"""One core against several, and how to use several: threads of one process, workers of one process, or processes.

    python benchmarks/cores.py [--seconds 12] [--results docs/results.md]

taskset gives the services their cores. 8 clients send mixed photographs in a closed loop; they run on the same machine,
beside the services, on any core. Takes four minutes with two cores.
"""

import argparse
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from engine import CLIENTS, STYLE, UPSCALE, Row, machine, requests_for, table
from load import Sample, closed, quantile, rate
from server import running
from whole_memory import WholeMemory

from nets.precision import cpu_precision
from trainer.evaluation.sections import write_section

SETTLED_SECONDS = 2.0
CORES = sorted(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Case:
    """Services side by side. cores: of each service. settings: of all of them."""

    name: str
    cores: list[list[int]]
    settings: dict[str, object] = field(default_factory=dict)


def cases() -> list[Case]:
    """Return one core, and the ways to use all of them."""
    count = len(CORES)
    return [
        Case("one core", [CORES[:1]]),
        Case(f"{count} cores, one process (default)", [CORES]),
        Case(
            f"{count} cores, all threads for each image (`IMPASTO_PICTURES_AT_ONCE=1`)",
            [CORES],
            {"pictures_at_once": 1},
        ),
        Case(f"{count} cores, `IMPASTO_DEVICE=cpu,cpu`", [CORES], {"device": "cpu,cpu"}),
        Case(f"{count} processes, one core each", [[core] for core in CORES]),
    ]


def measure(case: Case, target: str, seconds: float) -> Row:
    """Measure the services together: each has its share of the clients."""
    requests = requests_for(target)
    clients = max(1, CLIENTS // len(case.cores))
    with ExitStack() as stack:
        services = []
        for cores in case.cores:
            pinned = ("taskset", "-c", ",".join(map(str, cores)), sys.executable, "-u", "-m", "service")
            services.append(stack.enter_context(running(pinned, cache_bytes=0, **case.settings)))
        pool = stack.enter_context(ThreadPoolExecutor(len(services)))

        def load(duration: float) -> list[list[Sample]]:
            return list(pool.map(lambda each: closed(each.address, requests, clients, duration), services))

        load(seconds / 3)
        found = load(seconds)
        memory = sum(WholeMemory(each.process.pid).now_bytes() for each in services)
    samples = [sample for each in found for sample in each]
    return {
        "MP/s": sum(rate(each, SETTLED_SECONDS) for each in found),
        "p50, s": quantile(samples, 0.5),
        "p95, s": quantile(samples, 0.95),
        "memory, GB": memory / 1e9,
        "errors": sum(sample.status != 200 for sample in samples),
    }


def main() -> None:
    """Measure every case with a style and an upscaler."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--results", type=Path)
    options = parser.parse_args()
    if not shutil.which("taskset"):
        sys.exit("cores: needs taskset (Debian: apt install util-linux)")
    tables: dict[str, list[Row]] = {}
    for name, target in (("stylize/mosaic", STYLE), ("upscale/x4", UPSCALE)):
        rows: list[Row] = []
        for case in cases():
            found = measure(case, target, options.seconds)
            alone = float(rows[0]["MP/s"]) if rows else float(found["MP/s"])
            rows.append({"": case.name, **found, "times one core": float(found["MP/s"]) / alone})
            print(name, rows[-1], flush=True)
        tables[name] = rows
    if options.results:
        write_section(options.results, "benchmarks/cores.py", document(tables))


def document(tables: dict[str, list[Row]]) -> str:
    """Return the section of docs/results.md."""
    lines = [
        "## Cores",
        "",
        (
            f"`python benchmarks/cores.py --results docs/results.md`, {machine()}, {cpu_precision()}. {CLIENTS} "
            "clients on the same machine; with several processes, each has its share of them."
        ),
    ]
    for name, rows in tables.items():
        best = max(rows, key=lambda row: float(row["MP/s"]))
        default = next(row for row in rows if "default" in str(row[""]))
        ratio = float(default["MP/s"]) / float(best["MP/s"])
        lines += [
            "",
            f"**{name}.** The default reaches {ratio:.2f} of the best, which is: {best['']}.",
            "",
            table(rows),
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
