"""A style of the trunk in torch and in OpenVINO, as the service computes it: does IMPASTO_RUNTIME=openvino pay here?

    .venv-openvino/bin/python benchmarks/trunk_runtimes.py [--threads 2] [--rounds 12]     (make openvino-tools)

The two take turns, and the fastest of all rounds counts, so that other work on the machine meets both. Processor time
counts all threads.
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from pictures import photograph

from nets.banded.bands import run_to_end
from nets.banded.run import compute
from nets.checkpoint import load
from nets.compiled.trunk import CompiledTrunk
from nets.pixels import Picture
from nets.precision import cpu_precision
from nets.style_trunk import StyleTrunkNet

CHECKPOINT = Path(__file__).resolve().parent.parent / "checkpoints" / "stylize" / "mosaic.safetensors"
SIZES = ((256, 256), (768, 576), (1600, 1200))


def main() -> None:
    """Print a row for each size: seconds per megapixel, their ratio, and the difference of the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=12)
    options = parser.parse_args()
    precision = cpu_precision()
    torch.set_num_threads(options.threads)
    net = load(CHECKPOINT).net.to(memory_format=torch.channels_last)
    assert isinstance(net, StyleTrunkNet)
    start = time.perf_counter()
    compiled = CompiledTrunk(net, precision, options.threads)
    print(f"{precision}, {options.threads} threads; compiled in {time.perf_counter() - start:.2f} s")

    def bands(picture: Picture) -> Picture:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            output = run_to_end(compute(net, [picture], torch.device("cpu")))[0]
        assert not isinstance(output, Exception)
        return output

    print("size       torch s/MP  OpenVINO s/MP  ratio  ratio of processor time  mean difference  largest, levels")
    for width, height in SIZES:
        picture = np.array(photograph(width, height, 1))
        forms: list[Callable[[Picture], Picture]] = [bands, lambda each: compiled.stylize(net, each)]
        outputs = [form(picture).astype(int) for form in forms]
        best = np.full((2, 2), np.inf)
        for _ in range(options.rounds):
            for form, row in zip(forms, best, strict=True):
                row[:] = np.minimum(row, seconds_of(form, picture))
        torch_seconds, openvino_seconds = best / (width * height / 1e6)
        ratios = openvino_seconds / torch_seconds
        difference = np.abs(outputs[0] - outputs[1])
        print(
            f"{f'{width}x{height}':10} {torch_seconds[0]:10.3f} {openvino_seconds[0]:14.3f} {ratios[0]:6.2f} "
            f"{ratios[1]:24.2f} {difference.mean():16.3f} {difference.max():16d}",
            flush=True,
        )


def seconds_of(form: Callable[[Picture], Picture], picture: Picture) -> tuple[float, float]:
    """Time one call: seconds, and seconds of the processor."""
    start, processor = time.perf_counter(), time.process_time()
    form(picture)
    return time.perf_counter() - start, time.process_time() - processor


if __name__ == "__main__":
    main()
