"""A bare loop over a network: no HTTP, no decoding, nothing but forward passes over pictures in memory.

    python benchmarks/bare.py stylize/mosaic SECONDS LEAST MOST [eager]

prints megapixels per second. By default with the service's own way through the network (bands); "eager": `net(x)` in
the same precision and channels_last, as a user would write it.
"""

import sys
import time
from pathlib import Path

import numpy as np
import torch
from chosen import inference
from pictures import mixed

from nets.banded.bands import run_to_end
from nets.banded.run import compute
from nets.checkpoint import load
from nets.pixels import from_network, to_network

ROOT = Path(__file__).resolve().parent.parent
COUNT = 24


def main() -> None:
    """Run the network over the images repeatedly for some seconds."""
    key, seconds, least, most = sys.argv[1], *(float(value) for value in sys.argv[2:5])
    eager = sys.argv[5:] == ["eager"]
    pictures = [np.asarray(image) for image in mixed(COUNT, least, most)]
    net = load(ROOT / "checkpoints" / f"{key}.safetensors").net.to(memory_format=torch.channels_last)
    cpu = torch.device("cpu")

    def run(picture: np.ndarray) -> None:
        with inference():
            if eager:
                from_network(net(to_network([picture])))
            else:
                run_to_end(compute(net, [picture], cpu))

    for picture in pictures:
        run(picture)
    done, start, i = 0.0, time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        picture = pictures[i % COUNT]
        run(picture)
        done, i = done + picture.shape[0] * picture.shape[1] / 1e6, i + 1
    print(done / (time.perf_counter() - start))


if __name__ == "__main__":
    main()
