"""Speed on a device: networks by batch, layout and CUDA graph; the parts of a request; the service; training."""

import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from arms import arms
from arms import running as running_arm
from load import closed, rate
from pictures import jpeg, mixed, photograph
from PIL import Image
from server import ROOT, running
from torch import Tensor, nn

from nets.checkpoint import load
from nets.pixels import to_network
from service.engine.device import choose_precision
from service.engine.precision import DTYPES

NETWORKS = ("stylize/mosaic", "upscale/x4")
CLIENTS = 8
Row = dict[str, str | float]


@dataclass(frozen=True)
class Effort:
    """How much is measured. seconds: of each measurement. side: px of the pictures for the networks."""

    seconds: float
    side: int
    batches: tuple[int, ...]
    iterations: int


FULL = Effort(seconds=3.0, side=512, batches=(1, 2, 4, 8, 16), iterations=200)
QUICK = Effort(seconds=0.1, side=64, batches=(1, 2), iterations=20)


def networks(device: torch.device, effort: Effort) -> list[Row]:
    """Measure megapixels/s of each network in the precision that the service would choose."""
    rows: list[Row] = []
    dtype = DTYPES[choose_precision("auto", device)]
    pixels = effort.side**2 / 1e6
    for key in NETWORKS:
        net = load(ROOT / "checkpoints" / f"{key}.safetensors").net.to(device)
        for items in effort.batches:
            batch = to_network([np.asarray(photograph(effort.side, effort.side, i)) for i in range(items)]).to(device)
            row: Row = {"network": key, "batch": items}
            for layout in (torch.contiguous_format, torch.channels_last):
                name = str(layout).removeprefix("torch.").removesuffix("_format")
                placed, given = net.to(memory_format=layout), batch.to(memory_format=layout)
                with torch.inference_mode(), torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                    row[f"{name}, MP/s"] = items * pixels * per_second(lambda: placed(given), device, effort.seconds)  # noqa: B023
                    if device.type == "cuda":
                        replay = graph_of(placed, given)
                        row[f"{name}, CUDA graph, MP/s"] = items * pixels * per_second(replay, device, effort.seconds)
            rows.append(row)
    return rows


def graph_of(net: nn.Module, batch: Tensor) -> Callable[[], object]:
    """Capture a forward pass into a CUDA graph, and return what replays it."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):  # the first passes choose algorithms and allocate
            net(batch)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        net(batch)
    return graph.replay


def per_second(step: Callable[[], object], device: torch.device, seconds: float) -> float:
    """Return how often `step` runs per second, after three runs to warm up."""
    for _ in range(3):
        step()
    synchronize(device)
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        step()
        count += 1
        if count % 10 == 0:
            synchronize(device)  # keep the queue of the GPU short
    synchronize(device)
    return count / (time.perf_counter() - start)


def synchronize(device: torch.device) -> None:
    """Wait for all work of a device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def path_of_a_picture(device: torch.device, effort: Effort) -> list[Row]:
    """Measure the milliseconds that a picture of 2 megapixels spends in each part of its way, one part at a time."""
    data = jpeg(photograph(1632, 1224))
    batch = to_network([np.asarray(photograph(1632, 1224))])
    net = load(ROOT / "checkpoints" / f"{NETWORKS[0]}.safetensors").net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    placed = batch.to(device, memory_format=torch.channels_last)
    dtype = DTYPES[choose_precision("auto", device)]
    parts: dict[str, Callable[[], object]] = {
        "decode (Pillow)": lambda: np.asarray(Image.open(io.BytesIO(data))),
        "transfer": lambda: batch.to(device),
        "network": lambda: net(placed),
        "transfer back": placed.cpu,
    }
    rows: list[Row] = []
    for name, part in parts.items():
        with torch.inference_mode(), torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            rows.append({"part": name, "ms": 1e3 / per_second(part, device, effort.seconds)})
    return rows


def served(device: torch.device, effort: Effort) -> list[Row]:
    """Measure megapixels/s of the service with 8 clients, and of LitServe with the same network if it is installed."""
    images = mixed(12, 0.05, 2.0)
    rows: list[Row] = []
    seconds = 10 * effort.seconds
    for arm in arms():
        is_ours = (arm.name, arm.setting) == ("Impasto", "as installed")
        if not is_ours and not (arm.name == "LitServe" and arm.network == "style" and find_spec("litserve")):
            continue
        requests = [arm.request(jpeg(image), image.width * image.height / 1e6) for image in images]
        if is_ours:
            with running(device=device, cache_bytes=0) as service:
                samples = closed(service.address, requests, CLIENTS, seconds)
        else:
            with running_arm(arm, jpeg(images[0])) as (address, _):
                samples = closed(address, requests, CLIENTS, seconds)
        rows.append({"server": f"{arm.name}, {arm.setting}", "MP/s": rate(samples, min(2.0, seconds / 4))})
    return rows


def trained(device: torch.device, effort: Effort, vgg16: Path | None) -> list[Row]:
    """Measure iterations/s of the recipe `engraving`, after its first ten iterations. Without VGG16: no rows."""
    if vgg16 is None:
        return []
    with tempfile.TemporaryDirectory() as run:
        command = [sys.executable, "-m", "trainer", "style", "engraving", "--vgg16", str(vgg16), "--run", run]
        command += ["--data", str(ROOT / "docs" / "images" / "photographs"), "--iterations", str(effort.iterations)]
        visible = {} if device.type == "cuda" else {"CUDA_VISIBLE_DEVICES": ""}
        subprocess.run(command, cwd=ROOT, env={**os.environ, **visible}, check=True, stdout=subprocess.DEVNULL)
        lines = [json.loads(line) for line in (Path(run) / "metrics.jsonl").read_text().splitlines()]
    first, last = lines[0], lines[-1]
    seconds = last["seconds"] - first["seconds"]
    return [{"recipe": "engraving", "iterations/s": (last["iteration"] - first["iteration"]) / seconds}]
