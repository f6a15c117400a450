"""Impasto beside LitServe, BentoML, mosec and plain FastAPI: one harness, one machine, the same images.

    make bench PART=serving                                (or: .venv-bench/bin/python benchmarks/serving.py)
    ... benchmarks/serving.py --arms Impasto,mosec         some of them; the results of the others stay
    ... benchmarks/serving.py --url http://127.0.0.1:9000/predict [--raw]     a running server

Photographs of 256 to 2048 px as JPEG. Closed loops of 1, 4, 8 and 16 clients send the same images in whole rounds. Then
requests arrive at twice the rate that the server reached with 8 clients (Poisson, seeded), from clients that disconnect
after 3 s. Every response is compared with the image computed alone. Clients run on the same machine.
"""

import argparse
import io
import json
import os
import re
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
from answers import Judge, Pixels, Verdict
from arms import Arm, arms, running
from chosen import MEAN_LEVELS
from earlier import Measured, measured_before
from load import Clients, Request, Sample, closed, in_time, opened, quantile, statuses
from PIL import Image
from process_tree import ProcessTree, share_of_cores
from workload import Pictures, bare, expectations

from nets.precision import cpu_precision
from trainer.evaluation.results import this_machine

ROOT = Path(__file__).resolve().parent.parent
DEADLINE_SECONDS = 3.0
LEVELS = (1, 4, 8, 16)
FULL_SPEED = 8
"""The concurrency at which throughput is quoted."""

Figures = dict[str, float | int | str]


def measure(arm: Arm, pictures: Pictures, expected: list[Pixels], seconds: float) -> Measured:
    """Measure one server. seconds: approximate duration of the loop at FULL_SPEED."""
    requests = _requests(arm, pictures)
    with running(arm, pictures.smallest) as (address, tree):
        rest = tree.memory_bytes()
        for request in sorted(requests, key=lambda r: r.megapixels)[:3]:
            closed(address, [request], 1, 0, count=1)
        keep = Clients(keep=True)
        if arm.network != "style":
            alone = closed(address, requests[:1], 1, 0, count=1, clients=keep)
            sweep = [
                _level(address, requests, FULL_SPEED, len(requests), tree, Judge(expected, arm.through, 3.0, alone))
            ]
            return _found(arm, tree, rest, sweep, None)
        alone = closed(address, requests, 1, 0, count=len(requests), clients=keep)
        judge = Judge(expected, arm.through, arm.tolerance, alone)
        sweep = [_figures(alone, 1, None, judge)]
        speed = float(sweep[0]["MP/s"])
        for concurrency in LEVELS[1:]:
            wanted = seconds if concurrency == FULL_SPEED else seconds / 3
            rounds = max(round(wanted * speed / sum(pictures.megapixels)), -(-concurrency // len(requests)))
            sweep.append(_level(address, requests, concurrency, rounds * len(requests), tree, judge))
        capacity = next(float(row["images/s"]) for row in sweep if row["clients"] == FULL_SPEED)
        if not capacity:
            raise RuntimeError("answered nothing")
        overload = _overload(address, _requests(arm, pictures, hurried=True), capacity, 0.75 * seconds, judge)
        return _found(arm, tree, rest, sweep, overload)


def _requests(arm: Arm, pictures: Pictures, hurried: bool = False) -> list[Request]:
    pairs = zip(pictures.files, pictures.megapixels, strict=True)
    return [arm.request(data, megapixels, hurried) for data, megapixels in pairs]


def _found(arm: Arm, tree: ProcessTree, rest: int, sweep: list[Figures], overload: Figures | None) -> Measured:
    return {
        "name": arm.name,
        "setting": arm.setting,
        "network": arm.network,
        "tolerance, levels": arm.tolerance,
        "at rest, GB": rest / 1e9,
        "peak, GB": tree.peak_bytes / 1e9,
        "sweep": sweep,
        "overload": overload,
    }


def _level(
    address: str, requests: list[Request], concurrency: int, count: int, tree: ProcessTree | None, judge: Judge
) -> Figures:
    began, worked = time.perf_counter(), tree.cpu_seconds() if tree else 0.0
    samples = closed(address, requests, concurrency, 0, count=count, clients=Clients(keep=True, anywhere=tree is None))
    busy = None
    if tree:
        busy = share_of_cores(tree.cpu_seconds() - worked, time.perf_counter() - began)
    return _figures(samples, concurrency, busy, judge)


def _figures(samples: list[Sample], concurrency: int, busy: float | None, judge: Judge) -> Figures:
    """Summarise samples. Rates count successful responses up to the last one, because each level is whole rounds."""
    answered = [s for s in samples if s.status == 200]
    elapsed = max((s.start + s.seconds for s in answered), default=float("inf"))
    return {
        "clients": concurrency,
        "sent": len(samples),
        "errors": len(samples) - len(answered),
        "images/s": len(answered) / elapsed,
        "MP/s": sum(s.megapixels for s in answered) / elapsed,
        **{f"p{q}, s": quantile(samples, q / 100) for q in (50, 95, 99)},
        "CPU": float("nan") if busy is None else busy,
        **_stages(answered),
        **asdict(judge.judge(answered)),
    }


def _stages(answered: list[Sample]) -> Figures:
    """Return the mean seconds of each stage, if the server sends Server-Timing."""
    found: dict[str, list[float]] = {}
    for sample in answered:
        for name, milliseconds in re.findall(r"(\w+);dur=([\d.]+)", sample.headers.get("server-timing", "")):
            found.setdefault(name, []).append(float(milliseconds) / 1000)
    return {f"{name}, s": sum(values) / len(values) for name, values in found.items()}


def _overload(address: str, requests: list[Request], capacity: float, seconds: float, judge: Judge) -> Figures:
    """Send twice the server's capacity, from clients that disconnect at the deadline."""
    clients = Clients(patience=DEADLINE_SECONDS, keep=True)
    samples = opened(address, requests, 2 * capacity, seconds, clients=clients)
    timely = in_time(samples, DEADLINE_SECONDS)
    verdict: Verdict = judge.judge(timely)
    span = max(
        [seconds, *(s.start + s.seconds for s in timely)]
    )  # what comes after the last request counts, as time too
    return {
        "sent": len(samples),
        "sent/s": len(samples) / seconds,
        "in time": len(timely),
        "in time, images/s": len(timely) / span,
        "in time, MP/s": sum(s.megapixels for s in timely) / span,
        "share in time": len(timely) / max(1, len(samples)),
        "p50, s": quantile(timely, 0.5),
        "p95, s": quantile(timely, 0.95),
        "statuses": ", ".join(f"{status or 'disconnected'}: {count}" for status, count in statuses(samples).items()),
        **asdict(verdict),
    }


def elsewhere(options: argparse.Namespace, pictures: Pictures) -> list[Figures]:
    """Measure a running server. Its responses are compared with those to single requests."""
    address, _, target = options.url.partition("://")[2].partition("/")
    arm = Arm("url", "", (), f"/{target}", form=not options.raw)
    requests = _requests(arm, pictures)
    scheme = options.url.partition("://")[0]
    clients = Clients(keep=True, anywhere=True)
    alone = closed(f"{scheme}://{address}", requests, 1, 0, count=len(requests), clients=clients)
    judge = Judge([_first(alone, i, pictures) for i in range(len(requests))], _as_png, 0.0, alone)
    rows = [_figures(alone, 1, None, judge)]
    rows += [_level(f"{scheme}://{address}", requests, n, 2 * len(requests), None, judge) for n in LEVELS[1:]]
    return rows


def _first(alone: list[Sample], which: int, pictures: Pictures) -> Pixels:
    answer = next(s.answer for s in alone if s.which == which)
    try:
        return np.asarray(Image.open(io.BytesIO(answer)).convert("RGB"))
    except OSError:
        return pictures.decoded[which]


def _as_png(pixels: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def main() -> None:
    """Measure all servers, or the named ones."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arms", default="", help="Names (Impasto,mosec), or NAME:SETTING; default: all.")
    parser.add_argument("--seconds", type=float, default=16.0, help="About how long the loop of 8 clients lasts.")
    parser.add_argument("--count", type=int, default=12, help="Pictures.")
    parser.add_argument("--sides", type=int, nargs=2, default=(256, 2048), help="Least and most px of the longer side.")
    parser.add_argument("--json", type=Path, default=ROOT / "out" / "serving.json")
    parser.add_argument("--url", help="A server that runs already, instead of the arms.")
    parser.add_argument("--raw", action="store_true", help="--url takes the picture as the body, not in a form.")
    options = parser.parse_args()
    pictures = Pictures.make(options.count, *options.sides)
    if options.url:
        for row in elsewhere(options, pictures):
            print(
                "  ".join(
                    f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items()
                )
            )
        return
    wanted = [name.strip() for name in options.arms.split(",") if name.strip()]
    chosen = [arm for arm in arms() if not wanted or arm.name in wanted or f"{arm.name}:{arm.setting}" in wanted]
    expected, speeds = expectations(pictures)
    precision = cpu_precision()
    speeds[f"style, `model(x)`, channels_last, {precision}"] = bare(pictures, banded=False)
    speeds[f"style, in bands, {precision}"] = bare(pictures, banded=True)
    print("  ".join(f"{name}: {value:.2f} MP/s" for name, value in speeds.items()), flush=True)
    report: Measured = {
        "machine": this_machine().model_dump(),
        "cores": os.cpu_count(),
        "versions": versions(),
        "pictures": {"count": options.count, "sides_px": list(options.sides), "megapixels": sum(pictures.megapixels)},
        "seconds": options.seconds,
        "precision": precision,
        "tolerance, levels": MEAN_LEVELS[precision],
        "bare": speeds,
        "arms": [],
    }
    found = measured_before(options.json, report) if wanted else {}
    for arm in chosen:
        started = time.perf_counter()
        result = found[arm.name, arm.setting] = _tried(arm, pictures, expected[arm.network], options.seconds)
        print(_said(result), f"[{time.perf_counter() - started:.0f} s]", flush=True)
        _write(options.json, report | {"arms": _in_order(found)})
    speeds[f"style, in bands, {precision}, afterwards"] = bare(pictures, banded=True)
    _write(options.json, report | {"arms": _in_order(found)})


def _in_order(found: dict[tuple[str, str], Measured]) -> list[Measured]:
    """Return the results in the order of the arms."""
    return [found[arm.name, arm.setting] for arm in arms() if (arm.name, arm.setting) in found]


def _tried(arm: Arm, pictures: Pictures, expected: list[Pixels], seconds: float) -> Measured:
    """Return the measurements, or the error: a server that fails does not stop the others."""
    try:
        return measure(arm, pictures, expected, seconds)
    except Exception as error:  # noqa: BLE001  # whatever it is, it is this server's
        said = str(error)[:1000] or type(error).__name__
        return {"name": arm.name, "setting": arm.setting, "network": arm.network, "failed": said}


def _write(path: Path, report: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1))


def versions() -> dict[str, str]:
    """Return the versions of the peers."""
    from importlib.metadata import version  # noqa: PLC0415

    return {name: version(name) for name in ("litserve", "bentoml", "mosec", "fastapi", "uvicorn", "torch", "pillow")}


def _said(result: dict[str, object]) -> str:
    sweep, overload = result.get("sweep"), result.get("overload")
    words = [f"{result['name']}, {result['setting']}:", str(result.get("failed", ""))]
    if isinstance(sweep, list):
        words += [
            f"{row['clients']}: {row['MP/s']:.2f} MP/s ({row['wrong']} wrong, {row['unlike_alone']} unlike, "
            f"{row['levels']:.2f} levels)"
            for row in sweep
        ]
    if isinstance(overload, dict):
        words.append(f"2x: {overload['in time, images/s']:.2f}/s of {overload['sent/s']:.2f}/s in time")
    return " ".join(words)


if __name__ == "__main__":
    main()
