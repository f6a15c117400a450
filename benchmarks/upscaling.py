"""Quality against speed for x4: bicubic, SRCNN, ours, and the ESRGAN models of UpscalerJS from npm.

    make bench PART=upscaling                              (or: .venv-bench/bin/python benchmarks/upscaling.py)

IMPASTO_BENCHMARKS names a folder with set5 and set14. PSNR on Y (trainer.evaluation.metrics); seconds per megapixel of
output, over one whole set. Every network runs in torch and channels_last, in the precision that Impasto chooses on this
CPU, ours as the service computes it; those of UpscalerJS also in fp32, and in JavaScript (WebAssembly).
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from chosen import inference
from torch import nn

from nets.banded.bands import run_to_end
from nets.banded.run import compute
from nets.banded.upscaler import can_upscale
from nets.checkpoint import load
from nets.pixels import Picture, from_network, to_network
from nets.precision import cpu_precision
from trainer.evaluation.metrics import Enlarge, benchmark_pairs, bicubic, compared_luma, psnr, ssim
from trainer.evaluation.public_upscalers import installed_upscalers, parameters
from trainer.evaluation.results import this_machine

ROOT = Path(__file__).resolve().parent.parent
MODULES = ROOT / ".venv-bench" / "node" / "node_modules"
FACTOR = 4
SETS = ("set5", "set14")
Row = dict[str, float | int | str]


def folders() -> dict[str, Path]:
    """Return the available sets by name, and report the missing ones."""
    root = os.environ.get("IMPASTO_BENCHMARKS")
    if not root:
        print("IMPASTO_BENCHMARKS is not set: no Set5, no Set14, nothing to measure")
        return {}
    there = {path.name.lower(): path for path in Path(root).expanduser().iterdir() if path.is_dir()}
    for name in SETS:
        if name not in there:
            print(f"skipped: no {name} in {root}")
    return {name: there[name] for name in SETS if name in there}


def in_torch(net: nn.Module, precision: str, low: float = 1.0) -> Enlarge:
    """Run `net(x)`. low: the value of white for the network: 1 for [0, 1], 255 for [0, 255]."""
    net = net.eval().to(memory_format=torch.channels_last)

    def enlarge(picture: Picture) -> Picture:
        with inference(precision):
            return from_network(net(to_network([picture]) * low).float() / low)[0]

    return enlarge


def as_served(net: nn.Module) -> Enlarge:
    """Run a network as the service does."""
    net = net.to(memory_format=torch.channels_last)

    def enlarge(picture: Picture) -> Picture:
        with inference():
            answer = run_to_end(compute(net, [picture], torch.device("cpu")))[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    return enlarge


def methods() -> dict[str, tuple[Enlarge, int]]:
    """Return each method with its number of parameters."""
    precision = cpu_precision()
    found: dict[str, tuple[Enlarge, int]] = {"bicubic (Pillow)": (bicubic(FACTOR), 0)}
    for name, path in (
        (f"SRCNN, {precision}", ROOT / "benchmarks/rivals/upscale/x4_srcnn.safetensors"),
        (f"Impasto, faithful, {precision}", ROOT / "checkpoints/upscale/x4.safetensors"),
        (f"Impasto, perceptual, {precision}", ROOT / "checkpoints/upscale/x4_perceptual.safetensors"),
    ):
        net = load(path).net
        found[name] = (as_served(net) if can_upscale(net) else in_torch(net, precision), _parameters(net))
    for name, enlarge in installed_upscalers(FACTOR).items():
        found[f"{name}, ncnn"] = (enlarge, parameters(FACTOR, name))
    sys.path.insert(0, str(ROOT / "benchmarks" / "peers"))
    from layers_model import LayersModel  # noqa: PLC0415

    for size in ("slim", "medium"):
        folder = MODULES / f"@upscalerjs/esrgan-{size}" / "models" / "x4"
        if not folder.exists():
            print(f"skipped: no {folder} (make bench installs it where there is npm)")
            continue
        for each in dict.fromkeys(("fp32", precision)):
            net = LayersModel(folder)
            found[f"UpscalerJS esrgan-{size}, torch {each}"] = (in_torch(net, each, 255), _parameters(net))
    return found


def _parameters(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def score(enlarge: Enlarge, folder: Path, least_seconds: float) -> tuple[float, float, float]:
    """Return mean PSNR and SSIM over a set, and seconds per megapixel of output, over whole rounds."""
    pairs = benchmark_pairs(folder, FACTOR)
    lumas = [compared_luma(enlarge(low), truth, FACTOR) for _, low, truth in pairs]
    megapixels = sum(truth.shape[0] * truth.shape[1] for _, _, truth in pairs) / 1e6
    start, rounds = time.perf_counter(), 0
    while rounds == 0 or time.perf_counter() - start < least_seconds:
        for _, low, _ in pairs:
            enlarge(low)
        rounds += 1
    seconds = (time.perf_counter() - start) / rounds / megapixels
    return float(np.mean([psnr(*each) for each in lumas])), float(np.mean([ssim(*each) for each in lumas])), seconds


def in_javascript(size: str, picture: Picture, repeats: int) -> tuple[float, Picture] | None:
    """Time a pass of a UpscalerJS model in TensorFlow.js, and return its output; None without node."""
    folder = MODULES / f"@upscalerjs/esrgan-{size}" / "models" / "x4"
    if not folder.exists() or not shutil.which("node"):
        print("skipped: TensorFlow.js (needs node, and the packages in .venv-bench/node)")
        return None
    height, width = picture.shape[:2]
    command = ["node", "benchmarks/peers/upscalerjs.mjs", str(folder), str(height), str(width), str(repeats)]
    environment = {**os.environ, "NODE_MODULES": str(MODULES)}
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, input=picture.tobytes(), capture_output=True, timeout=100, check=True
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        print(f"TensorFlow.js did not do it: {(error.stderr or b'').decode()[-300:] or error}")
        return None
    seconds = json.loads(done.stderr.decode().strip().splitlines()[-1])["seconds"]
    floats = np.frombuffer(done.stdout, "<f4").reshape(FACTOR * height, FACTOR * width, 3)
    return min(seconds), floats.clip(0, 255).round().astype(np.uint8)


def javascript_rows(sets: dict[str, Path], in_torch_too: Callable[[str], Enlarge]) -> list[Row]:
    """Measure on the first image of the smaller set: seconds per megapixel, and the difference from torch."""
    rows: list[Row] = []
    name, low, _ = benchmark_pairs(next(iter(sets.values())), FACTOR)[0]
    for size in ("slim", "medium"):
        found = in_javascript(size, low, 1)
        if found is None:
            continue
        seconds, picture = found
        other = in_torch_too(size)(low)
        rows.append(
            {
                "method": f"UpscalerJS esrgan-{size}, TensorFlow.js on WebAssembly",
                "picture": name,
                "s/MP": seconds / (picture.shape[0] * picture.shape[1] / 1e6),
                "levels from torch, mean": float(np.abs(picture.astype(int) - other).mean()),
            }
        )
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Measure every method on every available set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0, help="At least, of each method on each set.")
    parser.add_argument("--json", type=Path, default=ROOT / "out" / "upscaling.json")
    options = parser.parse_args()
    sets = folders()
    if not sets:
        return
    rows: list[Row] = []
    found = methods()
    for name, folder in sets.items():
        for method, (enlarge, size) in found.items():
            decibels, similarity, seconds = score(enlarge, folder, options.seconds)
            row: Row = {"set": name, "method": method, "parameters": size}
            rows.append(row | {"PSNR, dB": decibels, "SSIM": similarity, "s/MP": seconds})
            print(f"{name:6} {method:42} {decibels:6.2f} dB  {similarity:.4f}  {seconds:.3f} s/MP", flush=True)
    javascript = javascript_rows(sets, lambda size: found[f"UpscalerJS esrgan-{size}, torch fp32"][0])
    report = {"machine": this_machine().model_dump(), "rows": rows, "javascript": javascript}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
