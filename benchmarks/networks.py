"""Each bundled network in each runtime: seconds per megapixel, memory, and the error in 8-bit levels.

    make bench PART=networks                               (or: .venv-bench/bin/python benchmarks/networks.py)
    ... benchmarks/networks.py --networks style --runtimes "OpenVINO, int8"

Every figure comes from a fresh process; another one converts and calibrates. The error is relative to torch eager fp32.
int8 is calibrated on other photographs than the measured one. The share of the peak refers to a 3 x 3 convolution of 64
channels in the precision that Impasto chooses on this CPU, measured in the same run. If that is fp32, there are no
runtimes in bf16.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from pictures import photograph
from PIL import Image
from runtimes import CORES, PRECISION, REFERENCE, RUNTIMES, Floats, convert, plain, prepare
from torch.utils.flop_counter import FlopCounterMode

from nets.checkpoint import load
from trainer.evaluation.results import this_machine

ROOT = Path(__file__).resolve().parent.parent
SHOWN, CALIBRATION = 1, (0, 2, 3)
LONGEST_SECONDS = 300
"""torch.compile takes 130 s with dynamic sizes."""

_REPEATS = 4
_LARGEST = 8


@dataclass(frozen=True)
class Subject:
    """A bundled network, and the size (width, height) of its image. factor: of an upscaler."""

    checkpoint: str
    size: tuple[int, int]
    factor: int = 1


SUBJECTS = {
    "style": Subject("stylize/mosaic", (768, 576)),
    "x4": Subject("upscale/x4", (256, 192), factor=4),
}


def floats(size: tuple[int, int], which: int) -> Floats:
    """Return a photograph: float32 (1, 3, H, W) in [0, 1]."""
    pixels = np.asarray(photograph(*size, which), dtype=np.float32) / 255
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])


def convert_all(name: str, folder: Path) -> dict[str, str]:
    """Write the files of all runtimes. Return what failed, with the reason."""
    subject = SUBJECTS[name]
    net = load(ROOT / "checkpoints" / f"{subject.checkpoint}.safetensors").net
    calibration = [floats(subject.size, which) for which in CALIBRATION]
    return dict(convert(net, floats(subject.size, SHOWN), calibration, folder))


def measure(name: str, runtime: str, folder: Path, answer: Path) -> dict[str, float]:
    """Measure in this process: seconds of one pass (median), seconds of the first pass, and peak memory."""
    subject = SUBJECTS[name]
    net = load(ROOT / "checkpoints" / f"{subject.checkpoint}.safetensors").net
    start = time.perf_counter()
    run = prepare(runtime, net, folder)
    x = floats(subject.size, SHOWN)
    first = run(x)
    ready = time.perf_counter() - start
    np.save(answer, first)
    seconds = [seconds_of(lambda: run(x)) for _ in range(_REPEATS)]
    return {"seconds": median(seconds), "first, s": ready, "peak, GB": peak_bytes() / 1e9}


def peak_bytes() -> int:
    """Return the peak memory of this process. getrusage would include that of the parent."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def profile(name: str) -> dict[str, float]:
    """Return the share of each torch operation in the time of the network, computed as the service does."""
    subject = SUBJECTS[name]
    run = prepare(RUNTIMES[0], load(ROOT / "checkpoints" / f"{subject.checkpoint}.safetensors").net, Path())
    x = floats(subject.size, SHOWN)
    run(x)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as found:
        run(x)
        run(x)
    own = {event.key: event.self_cpu_time_total for event in found.key_averages()}
    largest = sorted(own, key=own.__getitem__, reverse=True)[:_LARGEST]
    return {operation: own[operation] / sum(own.values()) for operation in largest}


def seconds_of(action: Callable[[], object]) -> float:
    """Time one call."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def operations(name: str) -> float:
    """Count the floating point operations of the convolutions for the network's image."""
    subject = SUBJECTS[name]
    net = plain(load(ROOT / "checkpoints" / f"{subject.checkpoint}.safetensors").net, *reversed(subject.size))
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        net(torch.from_numpy(floats(subject.size, SHOWN)))
    return float(counter.get_total_flops())


def peaks() -> dict[str, float]:
    """Measure operations/s of a matrix product and of a 3 x 3 convolution of 64 channels: best of ten."""
    n, channels, side = 2048, 64, 256
    dtype = torch.bfloat16 if PRECISION == "bf16" else torch.float32
    a, b = (torch.randn(n, n, dtype=dtype) for _ in range(2))
    x = torch.randn(1, channels, side, side).to(dtype, memory_format=torch.channels_last)
    w = torch.randn(channels, channels, 3, 3).to(dtype, memory_format=torch.channels_last)
    with torch.inference_mode():
        product = min(seconds_of(lambda: a @ b) for _ in range(10))
        convolution = min(seconds_of(lambda: F.conv2d(x, w, padding=1)) for _ in range(10))
    return {
        f"{PRECISION} matrix product": 2 * n**3 / product,
        f"{PRECISION} 3x3 convolution": 2 * 9 * channels**2 * side**2 / convolution,
    }


def levels(answer: Floats, exact: Floats) -> dict[str, float]:
    """Return the difference of two images in 8-bit levels."""
    shown = [np.clip(picture, 0, 1) * 255 for picture in (answer, exact)]
    difference = np.abs(shown[0].round() - shown[1].round())
    return {
        "mean": float(difference.mean()),
        "99th": float(np.percentile(difference, 99)),
        "largest": float(difference.max()),
    }


def _apart(arguments: list[str]) -> dict[str, Any]:
    """Run this file in another process. Raises RuntimeError with its last output, or after a timeout."""
    quiet = {"NNCF_CI": "1", "CI": "true", "TQDM_DISABLE": "1"}  # no reports to anybody
    quiet["TORCHINDUCTOR_FORCE_DISABLE_CACHES"] = "1"  # the first pass compiles
    paths = os.pathsep.join([str(ROOT), str(ROOT / "benchmarks")])
    try:
        done = subprocess.run(
            [sys.executable, __file__, *arguments],
            env={**os.environ, **quiet, "PYTHONPATH": paths},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=LONGEST_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"longer than {LONGEST_SECONDS} s") from error
    if done.returncode:
        raise RuntimeError(" ".join(done.stderr.strip().splitlines()[-1:])[:300] or f"exit {done.returncode}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def _converted(name: str, folder: Path) -> dict[str, str]:
    """Return what could not be converted, with the reason."""
    try:
        return {file: str(why) for file, why in _apart(["--convert", name, str(folder)]).items()}
    except RuntimeError as error:
        return {"conversion": str(error)}


def _profiled(name: str) -> dict[str, float]:
    try:
        return _apart(["--profile", name])
    except RuntimeError as error:
        print(f"{name}: no profile: {error}", flush=True)
        return {}


def compare(name: str, runtimes: list[str], peak: float, pictures: Path) -> list[dict[str, float | str]]:
    """Return one row for each runtime."""
    subject = SUBJECTS[name]
    width, height = subject.size
    megapixels = width * height / 1e6
    rows: list[dict[str, float | str]] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        converted = _converted(name, folder) if any("torch" not in each for each in runtimes) else {}
        work = operations(name)
        for runtime in runtimes:
            row: dict[str, float | str] = {"network": name, "runtime": runtime}
            answer = folder / f"{RUNTIMES.index(runtime)}.npy"
            try:
                found = _apart(["--measure", name, runtime, str(folder), str(answer)])
                row |= {"s/MP": found["seconds"] / megapixels, **found}
                row |= {"share of peak": work / found["seconds"] / peak}
                row |= levels(np.load(answer), np.load(folder / f"{RUNTIMES.index(REFERENCE)}.npy"))
                _save(np.load(answer), pictures / f"{name}-{runtime.replace(', ', '-').replace(' ', '_')}.png")
            except RuntimeError as error:
                row["failed"] = "; ".join([str(error), *(f"{file}: {why}" for file, why in converted.items())])
            rows.append(row)
            print(
                "  ".join(
                    f"{key} {value:.3g}" if isinstance(value, float) else str(value) for key, value in row.items()
                ),
                flush=True,
            )
    return rows


def _save(answer: Floats, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = (np.clip(answer[0].transpose(1, 2, 0), 0, 1) * 255).round().astype(np.uint8)
    Image.fromarray(pixels).save(path, compress_level=1)


def main() -> None:
    """Measure all networks, or the named ones."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default=",".join(SUBJECTS))
    parser.add_argument("--runtimes", action="append", help=f"Of {RUNTIMES}; more than once for several.")
    parser.add_argument("--json", type=Path, default=ROOT / "out" / "networks.json")
    parser.add_argument("--convert", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--profile", help=argparse.SUPPRESS)
    parser.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(CORES)
    if options.convert:
        print(json.dumps(convert_all(options.convert[0], Path(options.convert[1]))))
        return
    if options.profile:
        print(json.dumps(profile(options.profile)))
        return
    if options.measure:
        name, runtime, folder, answer = options.measure
        print(json.dumps(measure(name, runtime, Path(folder), Path(answer))))
        return
    chosen = [REFERENCE, *(each for each in options.runtimes or RUNTIMES if each != REFERENCE)]
    found = peaks()
    print("  ".join(f"{name} {value / 1e9:.0f} GFLOP/s" for name, value in found.items()), flush=True)
    pictures = options.json.parent / "networks"
    rows, profiles = [], {}
    for name in options.networks.split(","):
        found = {kind: max(found[kind], again) for kind, again in peaks().items()}
        profiles[name] = _profiled(name)
        rows += compare(name, chosen, found[f"{PRECISION} 3x3 convolution"], pictures)
    report = {
        "machine": this_machine().model_dump(),
        "versions": versions(),
        "precision": PRECISION,
        "peaks": found,
        "operations": {name: operations(name) for name in options.networks.split(",")},
        "sizes": {name: SUBJECTS[name].size for name in options.networks.split(",")},
        "rows": rows,
        "profiles": profiles,
    }
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(report, indent=1))


def versions() -> dict[str, str]:
    """Return the versions of the runtimes."""
    from importlib.metadata import version  # noqa: PLC0415

    return {name: version(name) for name in ("torch", "onnxruntime", "openvino", "nncf")}


if __name__ == "__main__":
    main()
