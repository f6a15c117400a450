"""The engine under load: a real service, as a process, on this machine. Prints tables, writes JSON and a section.

    python benchmarks/engine.py [SCENARIO ...] [--seconds 30] [--results docs/results.md]

saturation: closed loop of 8 clients against the bare loop over the same network. memory: the largest pictures, in about
ten minutes; BENCHMARK_CHECKPOINTS=FOLDER measures other networks.
fairness: small pictures beside 8-megapixel upscales. overload: 8 times as many requests as can be answered.
deadline: twice as many, each wanting its answer within 3 s. Run it on an otherwise idle machine.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from math import isnan
from pathlib import Path

import httpx
from load import Clients, Request, Sample, closed, opened, quantile, rate, statuses
from pictures import jpeg, mixed, photograph
from server import Service, running
from whole_memory import WholeMemory

from nets.precision import cpu_precision
from trainer.evaluation.results import this_machine
from trainer.evaluation.sections import write_section

ROOT = Path(__file__).resolve().parent.parent
COUNT, CLIENTS = 24, 8
DEVICES = ("cpu", "cpu,cpu")
STYLE = "/stylize?style=mosaic&stroke=off&format=jpeg"  # in the size that it has: what is compared is the network
UPSCALE = "/upscale?factor=4&source=clean&format=jpeg"
STROKES = "/stylize?style=mosaic&stroke=auto&format=jpeg"
UPSCALE_2 = "/upscale?factor=2&source=clean&format=jpeg"
PHONE = (8160, 6120)
"""Width and height of a phone's picture of 50 megapixels."""

SIZES = {STYLE: (0.05, 1.3), UPSCALE: (0.02, 0.3)}
KEYS = {STYLE: "stylize/mosaic", UPSCALE: "upscale/x4"}
Row = dict[str, str | float]


def requests_for(target: str, count: int = COUNT) -> list[Request]:
    """Make JPEGs of mixed sizes."""
    return [Request(target, jpeg(image), image.width * image.height / 1e6) for image in mixed(count, *SIZES[target])]


def saturation(seconds: float) -> list[Row]:
    """Measure megapixels/s of the service, and of loops without a server before and after it."""
    rows: list[Row] = []
    for target, key in KEYS.items():
        bare = {kind: [_bare(key, seconds / 2, *SIZES[target], kind)] for kind in ("", "eager")}
        served = {device: _saturated(target, device, seconds) for device in DEVICES}
        for kind, rates in bare.items():
            rates.append(_bare(key, seconds / 2, *SIZES[target], kind))
        alone, eager = sum(bare[""]) / 2, sum(bare["eager"]) / 2
        rows += [
            {
                "": f"{key}, `IMPASTO_DEVICE={device}`",
                "service, MP/s": rate(samples, 2.0),
                "bare loop, MP/s": alone,
                "share": rate(samples, 2.0) / alone,
                f"plain `net(x)`, {cpu_precision()}, MP/s": eager,
                "p95, s": quantile(samples, 0.95),
            }
            for device, samples in served.items()
        ]
    return rows


def _saturated(target: str, device: str, seconds: float) -> list[Sample]:
    with running(device=device) as service:
        requests = requests_for(target)
        closed(service.address, requests, CLIENTS, seconds / 3)
        return closed(service.address, requests, CLIENTS, seconds)


def memory(_seconds: float) -> list[Row]:
    """Measure peak memory of all processes, and speed, of the largest images, each in a fresh service."""
    rows: list[Row] = []
    for target, (width, height), count in (
        (STYLE, (577, 433), 8),
        (STYLE, (4000, 3000), 2),
        (STROKES, (4000, 3000), 2),
        (UPSCALE, (1633, 1225), 2),
        (STROKES, PHONE, 1),
        (UPSCALE_2, PHONE, 1),
    ):
        request = Request(target, jpeg(photograph(width, height)), width * height / 1e6)
        with running() as service:
            whole = WholeMemory(service.process.pid)
            rest = whole.now_bytes()
            with whole.watched():
                patient = Clients(patience=1800)
                samples = [closed(service.address, [request], 1, 0.01, clients=patient)[0] for _ in range(count)]
            assert {sample.status for sample in samples} == {200}, statuses(samples)
            forward = min(_stage(sample, "forward") for sample in samples)
            rows.append(
                {
                    "": f"`{target.removesuffix('&format=jpeg')}`, {width} x {height}",
                    "at rest, GB": rest / 1e9,
                    "peak, GB": whole.peak_bytes / 1e9,
                    "forward, s": forward,
                    "forward, MP/s": request.megapixels / forward,
                    "whole request, s": min(sample.seconds for sample in samples),
                }
            )
    return rows


def fairness(seconds: float) -> list[Row]:
    """Measure p95 of small images alone, and beside two clients that upscale 8 megapixels all the time."""
    small = [Request("/stylize?style=mosaic&format=jpeg", jpeg(photograph(256, 256, i)), 0.0655) for i in range(4)]
    poster = photograph(3266, 2450)
    large = Request("/upscale?factor=2&format=jpeg", jpeg(poster), 8.0)
    with running() as service:
        closed(service.address, small, 1, 3)
        alone = closed(service.address, small, 1, seconds / 2)
        background = subprocess.Popen(
            [sys.executable, __file__, "--background", service.address], stdin=subprocess.PIPE, cwd=ROOT
        )
        try:
            closed(service.address, small, 1, 10)
            beside = closed(service.address, small, 1, seconds)
            in_flight = _metric(service, "impasto_requests_in_flight")
        finally:
            background.kill()
            background.wait()
        assert in_flight >= 1, "nothing was in the background: this measures nothing"
        assert large.megapixels
    return [
        {
            "": "256 x 256, one client",
            "p50 alone, s": quantile(alone, 0.5),
            "p95 alone, s": quantile(alone, 0.95),
            "p50 beside, s": quantile(beside, 0.5),
            "p95 beside, s": quantile(beside, 0.95),
            "ratio of p95": quantile(beside, 0.95) / quantile(alone, 0.95),
        }
    ]


def background(address: str) -> None:
    """Run two clients that upscale 8 megapixels repeatedly until they are killed."""
    poster = Request("/upscale?factor=2&format=jpeg", jpeg(photograph(3266, 2450)), 8.0)
    closed(address, [poster], 2, 10**6)


def overload(seconds: float) -> list[Row]:
    """Measure the service at eight times its capacity, for two minutes by default."""
    rows: list[Row] = []
    for device in DEVICES:
        with running(device=device) as service:
            requests, saturated, capacity = _capacity(service, seconds)
            rest = service.memory_bytes()
            samples = opened(service.address, requests, 8 * capacity, 4 * seconds)
            rows.append(
                {
                    "": f"8 x, {4 * seconds:.0f} s, `IMPASTO_DEVICE={device}`",
                    "capacity, pictures/s": capacity,
                    "statuses": _in_words(samples),
                    "503 with Retry-After": all("retry-after" in s.headers for s in samples if s.status == 503),
                    "answered, share of saturation": rate(samples, 2.0) / saturated,
                    "memory before, GB": rest / 1e9,
                    "memory after, GB": service.memory_bytes() / 1e9,
                    "p95 of answered, s": quantile(samples, 0.95),
                }
            )
    return rows


def deadline(seconds: float) -> list[Row]:
    """Measure the service at twice its capacity, each request with a deadline of 3 s."""
    rows: list[Row] = []
    for device in DEVICES:
        with running(device=device) as service:
            requests, saturated, capacity = _capacity(service, seconds)
            hurried = [Request(f"{r.target}&deadline_ms=3000", r.body, r.megapixels) for r in requests]
            samples = opened(service.address, hurried, 2 * capacity, 2 * seconds)
        in_time = [s for s in samples if s.status == 200 and s.seconds <= 3.0]
        rows.append(
            {
                "": f"2 x, deadline 3 s, {2 * seconds:.0f} s, `IMPASTO_DEVICE={device}`",
                "capacity, MP/s": saturated,
                "in time, MP/s": rate(in_time, 2.0),
                "share of capacity": rate(in_time, 2.0) / saturated,
                "share of answered in time": len(in_time) / sum(s.status == 200 for s in samples),
                "statuses": _in_words(samples),
            }
        )
    return rows


def _capacity(service: Service, seconds: float) -> tuple[list[Request], float, float]:
    """Return the requests, the megapixels/s that a closed loop reaches with them, and the images/s."""
    requests = requests_for(STYLE)
    closed(service.address, requests, CLIENTS, 5)
    megapixels = rate(closed(service.address, requests, CLIENTS, seconds), 2.0)
    return requests, megapixels, megapixels / (sum(r.megapixels for r in requests) / COUNT)


def _in_words(samples: list[Sample]) -> str:
    return ", ".join(f"{status}: {count}" for status, count in statuses(samples).items())


SCENARIOS: Mapping[str, Callable[[float], list[Row]]] = {
    "saturation": saturation,
    "memory": memory,
    "fairness": fairness,
    "overload": overload,
    "deadline": deadline,
}


def main() -> None:
    """Run the named scenarios, or all."""
    parser = argparse.ArgumentParser()
    parser.add_argument("scenarios", nargs="*", default=list(SCENARIOS))
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--json", type=Path, default=ROOT / "out" / "engine.json")
    parser.add_argument("--results", type=Path)
    parser.add_argument("--background")
    options = parser.parse_args()
    if options.background:
        background(options.background)
        return
    found = json.loads(options.json.read_text()) if options.json.exists() else {}
    for name in options.scenarios:
        found[name] = {"machine": machine(), "rows": SCENARIOS[name](options.seconds)}
        print(f"\n{SCENARIOS[name].__doc__}\n\n{table(found[name]['rows'])}")
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(found, indent=1))
    if options.results:
        write_section(options.results, "benchmarks/engine.py", document(found))


def document(found: dict[str, dict[str, object]]) -> str:
    """Return the section of docs/results.md."""
    where = next(iter(found.values()))["machine"]
    lines = [
        "## The engine under load",
        "",
        f"`python benchmarks/engine.py --results docs/results.md`, {where}. Clients run on the same machine.",
        "",
    ]
    for name, scenario in SCENARIOS.items():
        if name in found:
            lines += [f"**{name.capitalize()}.** {_summary(scenario)}", "", table(found[name]["rows"]), ""]
    return "\n".join(lines)


def _summary(scenario: Callable[[float], list[Row]]) -> str:
    """Return the docstring of a scenario as a caption: "Measure x" becomes "X"."""
    text = (scenario.__doc__ or "").removeprefix("Measure ")
    return text[:1].upper() + text[1:]


def machine() -> str:
    """Describe this machine in words."""
    found = this_machine()
    return f"{found.date}: {found.processor}, {found.threads} threads, torch {found.torch_version}, no GPU"


def table(rows: list[Row]) -> str:
    """Format rows as Markdown."""
    lines = ["| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
    for row in rows:
        cells = [_shown(value) for value in row.values()]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _shown(value: str | float) -> str:
    if not isinstance(value, float):
        return str(value)
    if isnan(value):
        return "-"
    return f"{value:.0f}" if value >= 1000 else f"{value:.3g}"


def _bare(key: str, seconds: float, least: float, most: float, kind: str) -> float:
    command = [sys.executable, "benchmarks/bare.py", key, str(seconds), str(least), str(most), *kind.split()]
    return float(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)


def _stage(sample: Sample, stage: str) -> float:
    timings = dict(entry.split(";dur=") for entry in sample.headers["server-timing"].split(", "))
    return float(timings[stage]) / 1000


def _metric(service: Service, name: str) -> float:
    text = httpx.get(f"{service.address}/metrics", trust_env=False).text
    return float(next(line.split()[1] for line in text.splitlines() if line.startswith(f"{name} ")))


if __name__ == "__main__":
    main()
