"""A crowd that ignores Retry-After, and the CPU time of a refusal: a real service, as a process, on this machine.

    python benchmarks/crowd.py [--seconds 30] [--results docs/results.md]

The crowd is 64 clients in a process of low priority. Each sends photographs of 256 to 2048 px one after the other, each
with a deadline of 3 s. CPU time is that of the service and its decoders, read from /proc. Run it on an otherwise idle
machine.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
from engine import Row, machine, table
from load import Request, Sample, closed, rate, statuses
from pictures import jpeg, mixed_sides, photograph
from server import Service, running

from trainer.evaluation.sections import write_section

ROOT = Path(__file__).resolve().parent.parent
CLIENTS, CROWD, COUNT = 8, 64, 24
DEADLINE_SECONDS = 3.0
LARGE_MEGAPIXELS = 1.0
STYLE = "/stylize?style=mosaic&stroke=off&format=jpeg"
_SMALL_SIDE_PX = 64
_TIMES = 200


def requests(deadline: bool) -> list[Request]:
    """Make the photographs of the crowd, as requests with or without a deadline."""
    target = f"{STYLE}&deadline_ms={DEADLINE_SECONDS * 1000:.0f}" if deadline else STYLE
    images = mixed_sides(COUNT, 256, 2048)
    return [Request(target, jpeg(image), image.width * image.height / 1e6) for image in images]


def crowd(seconds: float) -> list[Row]:
    """Measure the capacity, and what of it a crowd receives in time."""
    with running() as service:
        closed(service.address, requests(deadline=False), CLIENTS, seconds / 3)
        capacity = rate(closed(service.address, requests(deadline=False), CLIENTS, seconds), 2.0)
        samples = _send_as_crowd(service.address, 2 * seconds)
    in_time = [s for s in samples if s.status == 200 and s.seconds <= DEADLINE_SECONDS]
    large = [s for s in in_time if s.megapixels >= LARGE_MEGAPIXELS]
    return [
        {
            "": f"{CROWD} clients, {2 * seconds:.0f} s",
            "capacity, MP/s": capacity,
            "in time, MP/s": rate(in_time, 2.0),
            "share": rate(in_time, 2.0) / capacity,
            "in time, images/s": len(in_time) / (2 * seconds),
            f"of {LARGE_MEGAPIXELS:g} MP and more, MP/s": sum(s.megapixels for s in large) / (2 * seconds),
            "statuses": ", ".join(f"{status}: {count}" for status, count in statuses(samples).items()),
        }
    ]


def _send_as_crowd(address: str, seconds: float) -> list[Sample]:
    """Run the clients in a process of low priority: real ones have machines of their own."""
    command = [sys.executable, __file__, "--crowd", address, "--seconds", str(seconds)]
    found = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    return [Sample(*fields) for fields in json.loads(found)]


def run_crowd(address: str, seconds: float) -> None:
    """Be the crowd; print the samples."""
    os.nice(10)
    samples = closed(address, requests(deadline=True), CROWD, seconds)
    print(json.dumps([[s.start, s.seconds, s.status, s.megapixels, {}] for s in samples]))


def cpu(_seconds: float) -> list[Row]:
    """Measure the CPU time of a response, without that of the network. Each thread of torch's would spin: one."""
    os.environ["OMP_NUM_THREADS"] = "1"
    small = jpeg(photograph(_SMALL_SIDE_PX, _SMALL_SIDE_PX))
    large = jpeg(photograph(1024, 768))
    rows = []
    with running(cache_bytes=0) as service:
        network = _network_seconds(service, small)
        for name, target, body, expected in (
            ("404, no such style", "/stylize?style=none", large, 404),
            ("422, wrong parameter", "/stylize?style=mosaic&strength=2", large, 422),
            ("504, deadline of 1 ms", f"{STYLE}&deadline_ms=1", large, 504),
            ("200, 64 x 64, beside its network", STYLE, small, 200),
        ):
            spent = _cpu_seconds_each(service, target, body, expected)
            rows.append(_row(name, spent - (network if expected == 200 else 0.0)))
    with running(max_requests=1) as service:
        rows.append(_row("503, too many requests (event loop)", _cpu_seconds_of_full(service, large)))
    return rows


def _row(name: str, seconds: float) -> Row:
    return {"": name, "CPU, ms": 1000 * seconds}


def _cpu_seconds_each(service: Service, target: str, body: bytes, expected: int) -> float:
    """Send a request many times on one connection; return the CPU time of each."""
    with httpx.Client(base_url=service.address, trust_env=False, timeout=60) as client:
        for _ in range(20):
            client.post(target, content=body)
        before = _tree_cpu_seconds(service.process.pid)
        for _ in range(_TIMES):
            assert client.post(target, content=body).status_code == expected
        return (_tree_cpu_seconds(service.process.pid) - before) / _TIMES


def _network_seconds(service: Service, body: bytes) -> float:
    """Return the time of the forward pass, which has one thread."""
    with httpx.Client(base_url=service.address, trust_env=False) as client:
        before = _forward_seconds(client)
        for _ in range(_TIMES):
            client.post(STYLE, content=body)
        return (_forward_seconds(client) - before) / _TIMES


def _forward_seconds(client: httpx.Client) -> float:
    name = 'impasto_stage_duration_seconds_sum{stage="forward"}'
    lines = client.get("/metrics").text.splitlines()
    return next((float(line.split()[-1]) for line in lines if line.startswith(name)), 0.0)


def _cpu_seconds_of_full(service: Service, body: bytes) -> float:
    """Return the time of the event loop for a refusal while one large image is being enlarged."""
    poster = jpeg(photograph(3266, 2450))
    with httpx.Client(base_url=service.address, trust_env=False, timeout=300) as client:
        job = client.post("/upscale?factor=2&format=jpeg", content=poster, headers={"Prefer": "respond-async"})
        while client.get(job.headers["Location"]).json()["state"] == "queued":
            time.sleep(0.05)
        begun, count = _main_thread_cpu_seconds(service.process.pid), 0
        for _ in range(_TIMES):
            if client.post(STYLE, content=body).status_code == 503:
                count += 1
        return (_main_thread_cpu_seconds(service.process.pid) - begun) / max(1, count)


def _tree_cpu_seconds(pid: int) -> float:
    root = psutil.Process(pid)
    times = [process.cpu_times() for process in (root, *root.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def _main_thread_cpu_seconds(pid: int) -> float:
    return next(t.user_time + t.system_time for t in psutil.Process(pid).threads() if t.id == pid)


def document(rows: dict[str, list[Row]]) -> str:
    """Return the section of docs/results.md."""
    share = float(rows["crowd"][0]["share"])
    slowest = max(float(row["CPU, ms"]) for row in rows["cpu"] if str(row[""]).startswith(("404", "503")))
    return "\n".join(
        [
            "## A crowd",
            "",
            f"`python benchmarks/crowd.py --results docs/results.md`, {machine()}.",
            "Clients run on the same machine with a low priority. They ignore `Retry-After`, and want each photograph",
            "of 256 to 2048 px within 3 s.",
            "",
            table(rows["crowd"]),
            "",
            f"CPU time of a response: the mean of {_TIMES} on one connection, with the decoders.",
            "",
            table(rows["cpu"]),
            "",
            f"Target, 0.7 of the capacity in time: {_met(share >= 0.7, share)}.",
            f"Target, a refusal of 404 or 503 within 1 ms: {_met(slowest <= 1, slowest)} ms.",
        ]
    )


def _met(met: bool, found: float) -> str:
    return f"{'met' if met else 'missed'}, {found:.2g}"


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--results", type=Path)
    parser.add_argument("--crowd", metavar="ADDRESS")
    options = parser.parse_args()
    if options.crowd:
        run_crowd(options.crowd, options.seconds)
        return
    text = document({"crowd": crowd(options.seconds), "cpu": cpu(options.seconds)})
    print(text)
    if options.results:
        write_section(options.results, "benchmarks/crowd.py", text)


if __name__ == "__main__":
    main()
