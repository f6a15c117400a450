"""Capacity: number of replicas, autoscaling in a spike, a lost node, and a check of the simulation.

    python benchmarks/capacity.py plan                 replicas for a load and a p95
    python benchmarks/capacity.py spike                ten times the load for five minutes, by autoscaler
    python benchmarks/capacity.py lost                 one replica of several is lost
    python benchmarks/capacity.py shared               jobs in one queue, beside requests to a random replica
    python benchmarks/capacity.py check                compares two real services with the simulation

The first four are simulated: the same costs give the same figures on every machine. Without --costs, they use ASSUMED;
`check` measures this machine and writes a file for --costs.
"""

import argparse
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from simulation import Autoscaler, Costs, Kind, Limits, Result, Simulation, arrivals

ASSUMED = Costs({"stylize": (0.005, 0.45e-6), "upscale": (0.005, 3.5e-6)}, codec=1.0e-8)
"""Round figures near those of two CPU cores in bf16 (docs/performance.md)."""

MIX = [
    Kind("stylize", 0.50, 512 * 512),
    Kind("stylize", 0.30, 1024 * 1024),
    Kind("stylize", 0.05, 2048 * 2048),
    Kind("upscale", 0.15, 256 * 256, growth=16),
]
LOADS = (1.0, 2.0, 5.0, 10.0, 20.0)
TARGETS_SECONDS = (2.0, 3.0, 5.0)
Table = list[dict[str, Any]]


def replica_rate(costs: Costs) -> float:
    """Return the input megapixels per second of one replica at most, over MIX."""
    pixels = sum(kind.share * kind.pixels for kind in MIX)
    return pixels / sum(kind.share * costs.seconds(kind) for kind in MIX) / 1e6


def plan(costs: Costs, count_requests: int = 8000) -> Table:
    """Find the fewest replicas that answer 95 % within the target and refuse less than 1 %."""
    rows: Table = []
    mean = sum(kind.share * kind.pixels for kind in MIX) / 1e6
    for load in LOADS:
        requests = arrivals([(count_requests * mean / load, load)], MIX, seed=1)
        targets = list(reversed(TARGETS_SECONDS))
        count = max(1, math.floor(load / replica_rate(costs)))
        while targets:
            result = Simulation(costs, Limits(), count).run(requests)
            while targets and result.quantile(0.95) <= targets[0] and len(result.refused) <= 0.01 * len(requests):
                rows.append(
                    {
                        "megapixels/s": load,
                        "p95 target s": targets.pop(0),
                        "replicas": count,
                        "p50 s": result.quantile(0.5),
                        "p95 s": result.quantile(0.95),
                        "busy": load / (count * replica_rate(costs)),
                    }
                )
            count += 1
    return sorted(rows, key=lambda row: (row["megapixels/s"], row["p95 target s"]))


def spike(costs: Costs) -> Table:
    """Simulate ten minutes at 2 megapixels/s, five at 20, twenty at 2 again."""
    begin, end = 600.0, 900.0
    requests = arrivals([(begin, 2.0), (end - begin, 20.0), (1200.0, 2.0)], MIX, seed=2)
    enough = math.ceil(20.0 / replica_rate(costs) / 0.75)
    cases: list[tuple[str, int, Autoscaler | None, float]] = [
        ("fixed, for the usual load", 2, None, 20),
        ("fixed, for the spike", enough, None, 20),
        ("queue and CPU, start 20 s", 2, Autoscaler(), 20),
        ("queue alone, start 20 s", 2, Autoscaler(cpu=0), 20),
        ("CPU alone, start 20 s", 2, Autoscaler(queue_pixels=math.inf), 20),
        ("queue and CPU, start 120 s", 2, Autoscaler(), 120),
        ("queue and CPU, 6 at least", 6, Autoscaler(least=6), 20),
    ]
    rows: Table = []
    for name, count, scaler, start in cases:
        result = Simulation(costs, Limits(start_seconds=start), count, scaler).run(requests)
        within = [moment for moment, _ in requests if begin <= moment < end]
        refused = [moment for moment in result.refused if begin <= moment < end]
        rows.append(
            {
                "autoscaling": name,
                "most replicas": max((n for _, n in result.replicas), default=count),
                "refused in the spike": len(refused) / len(within),
                "p95 s, first minute": result.quantile(0.95, begin, begin + 60),
                "p95 s, last minute": result.quantile(0.95, end - 60, end),
                "calm after s": _calm(result, begin),
                "replica hours": result.replica_seconds / 3600,
            }
        )
    return rows


def _calm(result: Result, begin: float) -> float:
    """Return the seconds from `begin` to the end of the last minute with a refusal or a p95 above 5 s."""
    last = begin
    for start in np.arange(begin, begin + 1500, 60.0):
        refused = any(start <= moment < start + 60 for moment in result.refused)
        if refused or result.quantile(0.95, start, start + 60) > 5.0:
            last = float(start) + 60
    return last - begin


def lost(costs: Costs, runs: int = 20) -> Table:
    """Simulate the loss of one replica at 60 % load; another starts after 90 s. Returns means over `runs`."""
    rows: Table = []
    moment, gap = 300.0, 90.0
    for count in (2, 3, 5, 10):
        load = 0.6 * count * replica_rate(costs)
        found = [
            Simulation(costs, Limits(), count, None, [moment], gap, seed).run(arrivals([(900.0, load)], MIX, seed))
            for seed in range(runs)
        ]
        rows.append(
            {
                "replicas": count,
                "load of the rest": 0.6 * count / (count - 1),
                "lost with it": float(np.mean([len(result.lost) for result in found])),
                "refused": float(np.mean([len(result.refused) for result in found])),
                "p95 s before": float(np.mean([result.quantile(0.95, 0, moment) for result in found])),
                "p95 s in the gap": float(np.mean([result.quantile(0.95, moment, moment + gap) for result in found])),
                "calm after s": float(np.mean([_calm(result, moment) for result in found])),
            }
        )
    return rows


def shared(costs: Costs, count_requests: int = 8000) -> Table:
    """Compare one queue for all replicas with random balancing. No request is refused in either."""
    rows: Table = []
    endless = Limits(requests=10**9, pixels=10**15)
    mean = sum(kind.share * kind.pixels for kind in MIX) / 1e6
    for count in (2, 4, 10):
        for busy in (0.5, 0.7, 0.9):
            load = busy * count * replica_rate(costs)
            requests = arrivals([(count_requests * mean / load, load)], MIX, seed=1)
            at_random, in_one = (
                Simulation(costs, endless, count, shared=shared).run(requests) for shared in (False, True)
            )
            rows.append(
                {
                    "replicas": count,
                    "busy": busy,
                    "p50 s, random": at_random.quantile(0.5),
                    "p50 s, shared": in_one.quantile(0.5),
                    "p95 s, random": at_random.quantile(0.95),
                    "p95 s, shared": in_one.quantile(0.95),
                }
            )
    return rows


def read_costs(path: Path) -> Costs:
    """Read a file that `check` wrote."""
    given = json.loads(path.read_text())["costs"]
    return Costs({model: (start, each) for model, (start, each) in given["forward"].items()}, given["codec"])


def lines(rows: Table) -> Iterator[str]:
    """Format the rows as a Markdown table."""
    yield "| " + " | ".join(rows[0]) + " |"
    yield "|---" * len(rows[0]) + "|"
    for row in rows:
        yield "| " + " | ".join(_shown(value) for value in row.values()) + " |"


def _shown(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def main() -> None:
    """Run one command; print a table and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("question", choices=["plan", "spike", "lost", "shared", "check"])
    parser.add_argument("--costs", type=Path, help="What `check` wrote; default: the round figures of ASSUMED.")
    parser.add_argument("--checkpoints", type=Path, default=Path("checkpoints"), help="check: the networks.")
    parser.add_argument("--seconds", type=float, default=180.0, help="check: how long each load lasts.")
    parser.add_argument("--json", type=Path, help="Where the figures go; default: capacity-QUESTION.json.")
    options = parser.parse_args()
    if options.question == "check":
        import two_services  # noqa: PLC0415  # it needs the service and httpx, the arithmetic does not

        costs, rows = two_services.compare(options.checkpoints, options.seconds, MIX)
    else:
        costs = read_costs(options.costs) if options.costs else ASSUMED
        questions: dict[str, Callable[[Costs], Table]] = {
            "plan": plan,
            "spike": spike,
            "lost": lost,
            "shared": shared,
        }
        rows = questions[options.question](costs)
    print(f"A replica paints {replica_rate(costs):.2f} megapixels/s of this mix at most.\n")
    print("\n".join(lines(rows)))
    target = options.json or Path(f"capacity-{options.question}.json")
    target.write_text(
        json.dumps({"costs": asdict(costs), "mix": [asdict(kind) for kind in MIX], "rows": rows}, indent=1)
    )


if __name__ == "__main__":
    main()
