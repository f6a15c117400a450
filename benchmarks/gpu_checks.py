"""Correctness of a device against the CPU: golden outputs, precisions, batches of styles, tiles, lack of memory.

Each check returns rows for the report of benchmarks/gpu.py. `passed` is None where the machine cannot run the check.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import httpx
import numpy as np
import torch
from pictures import jpeg, photograph
from server import ROOT, running

from nets.architecture import architecture_of
from nets.banded.bands import run_to_end
from nets.banded.run import compute
from nets.checkpoint import Checkpoint, load
from nets.golden import GOLDEN_TOLERANCE, golden_difference, golden_output
from nets.pixels import Picture
from nets.tiling import cut, paste, windows
from service.engine.precision import DTYPES, Precision

CPU = torch.device("cpu")
MAX_MEAN_LEVELS = {"fp32": 0.5, "fp16": 2.0, "bf16": 2.0}
"""The largest accepted mean difference from fp32 on the CPU, in 8-bit levels."""


@dataclass(frozen=True)
class Finding:
    """A row of the report. passed None: not run, for the reason in `result`."""

    check: str
    case: str
    result: str
    passed: bool | None


def checkpoints() -> dict[str, Checkpoint]:
    """Load the bundled networks, by key ("stylize/mosaic")."""
    files = sorted((ROOT / "checkpoints").glob("*/*.safetensors"))
    return {f"{path.parent.name}/{path.stem}": load(path) for path in files if path.parent.name != "trunks"}


def computed(
    nets: torch.nn.Module | Sequence[torch.nn.Module],
    pictures: list[Picture],
    device: torch.device,
    precision: Precision = "fp32",
) -> list[Picture]:
    """Run a network, or one for each picture, as the service does. Raises what the network raises."""
    enabled = precision != "fp32"
    with torch.inference_mode(), torch.autocast(device.type, DTYPES[precision], enabled=enabled):
        outputs = run_to_end(compute(nets, pictures, device))
    for output in outputs:
        if isinstance(output, Exception):
            raise output
    return [output for output in outputs if not isinstance(output, Exception)]


def difference(one: Picture, other: Picture) -> tuple[float, int]:
    """Return the mean and the largest difference in levels."""
    levels = np.abs(one.astype(int) - other.astype(int))
    return float(levels.mean()), int(levels.max())


def golden(nets: dict[str, Checkpoint], device: torch.device) -> list[Finding]:
    """Compare the golden output of each network with the one in its card."""
    rows = []
    for key, checkpoint in nets.items():
        placed = checkpoint.net.to(device)
        found = golden_difference(checkpoint.card.golden, golden_output(placed))
        checkpoint.net.to(CPU)
        rows.append(Finding("golden output", key, f"{found * 255:.3f} levels", found <= GOLDEN_TOLERANCE))
    return rows


def precisions(nets: dict[str, Checkpoint], device: torch.device, side: int) -> list[Finding]:
    """Compare each precision that the device supports with fp32 on the CPU, on a photograph of `side` px."""
    picture = np.asarray(photograph(side, side))
    supported: tuple[Precision, ...] = ("fp32", "bf16", "fp16") if device.type == "cuda" else ("fp32", "bf16")
    rows = []
    for key, checkpoint in nets.items():
        exact = computed(checkpoint.net, [picture], CPU)[0]
        placed = checkpoint.net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        for precision in supported:
            mean, most = difference(exact, computed(placed, [picture], device, precision)[0])
            passed = mean <= MAX_MEAN_LEVELS[precision]
            rows.append(Finding(f"{precision} against fp32 on the CPU", key, f"mean {mean:.2f}, most {most}", passed))
        checkpoint.net.to(CPU)
    return rows


def mixed_styles(nets: dict[str, Checkpoint], device: torch.device, side: int) -> list[Finding]:
    """Compare a batch of three styles of the trunk with each of them alone on the same device."""
    styles = [checkpoint.net.to(device) for checkpoint in nets.values() if checkpoint.card.trunk][:3]
    pictures = [np.asarray(photograph(side, side, which)) for which in range(len(styles))]
    together = computed(styles, pictures, device)
    alone = [computed(net, [picture], device)[0] for net, picture in zip(styles, pictures, strict=True)]
    worst = max(difference(a, b)[1] for a, b in zip(together, alone, strict=True))
    for net in styles:
        net.to(CPU)
    return [Finding("batch of three styles", f"{side} px", f"most {worst} levels from each alone", worst <= 1)]


def tiles(nets: dict[str, Checkpoint], device: torch.device, side: int) -> list[Finding]:
    """Compare an upscaled picture in tiles with the same in one pass."""
    rows = []
    for key in ("upscale/x2", "upscale/x4"):
        net = nets[key].net.to(device)
        facts = architecture_of(nets[key].net).facts(nets[key].config)
        picture = np.asarray(photograph(side, side))
        tiled = np.zeros((side * facts.scale, side * facts.scale, 3), np.uint8)
        for window in windows(side, side, facts.halo, (side // 2 + 2 * facts.halo) ** 2):
            part = computed(net, [np.ascontiguousarray(cut(picture, window))], device)[0]
            paste(part, window, facts.scale, tiled)
        worst = difference(tiled, computed(net, [picture], device)[0])[1]
        nets[key].net.to(CPU)
        rows.append(Finding("tiles", key, f"most {worst} levels from one pass", worst <= 1))
    return rows


def lack_of_memory(device: torch.device) -> list[Finding]:
    """Give a service too little of the GPU's memory for one pass: it must compute smaller tiles, and respond."""
    case = "upscale/x4 of 4 MP with 1 GiB"
    if device.type != "cuda":
        return [Finding("lack of memory", case, "needs a GPU", None)]
    share = 2**30 / torch.cuda.get_device_properties(device).total_memory
    start = (
        f"import torch; torch.cuda.set_per_process_memory_fraction({share}, {device.index or 0}); "
        "from service.cli.serve import serve_or_exit; serve_or_exit()"
    )
    limits = {"max_whole_pixels": 2**24, "tile_pixels": 2**24}
    with running(device=device, command=[sys.executable, "-u", "-c", start], **limits) as service:
        body = jpeg(photograph(2400, 1700))
        response = httpx.post(
            f"{service.address}/upscale?factor=4&format=jpeg", content=body, timeout=300, trust_env=False
        )
        metrics = httpx.get(f"{service.address}/metrics", trust_env=False).text
    errors = sum(
        float(line.rsplit(" ", 1)[1]) for line in metrics.splitlines() if line.startswith("impasto_out_of_memory")
    )
    result = f"status {response.status_code} after {errors:.0f} out-of-memory errors"
    return [Finding("lack of memory", case, result, response.status_code == 200 and errors > 0)]


def two_devices(device: torch.device) -> list[Finding]:
    """Compare the responses of a service on two GPUs with those of a service on one."""
    if device.type != "cuda" or torch.cuda.device_count() < 2:
        return [Finding("two devices", "stylize/mosaic", "needs two GPUs", None)]
    body, outputs = jpeg(photograph(800, 600)), []
    for devices in ("cuda:0", "cuda:0,cuda:1"):
        with running(device=devices, precision="fp32", cache_bytes=0) as service:
            address = f"{service.address}/stylize?style=mosaic&format=png"
            outputs.append({httpx.post(address, content=body, timeout=120, trust_env=False).content for _ in range(8)})
    same = len(outputs[0] | outputs[1]) == 1
    return [Finding("two devices", "stylize/mosaic", "the same bytes" if same else "other bytes", same)]


def run(device: torch.device, side: int, report: Callable[[Finding], None]) -> None:
    """Run all checks. side: pixels of the photographs' sides."""
    nets = checkpoints()
    steps: list[Callable[[], list[Finding]]] = [
        lambda: golden(nets, device),
        lambda: precisions(nets, device, side),
        lambda: mixed_styles(nets, device, side),
        lambda: tiles(nets, device, side),
        lambda: lack_of_memory(device),
        lambda: two_devices(device),
    ]
    for step in steps:
        for row in step():
            report(row)
