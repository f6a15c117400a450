"""Requests of benchmarks/serving.py, their expected outputs, and loops without a server."""

import io
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from answers import Pixels
from chosen import inference
from pictures import jpeg, mixed_sides
from PIL import Image

from nets.banded.bands import run_to_end
from nets.banded.run import compute
from nets.pixels import from_network, to_network

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Pictures:
    """The workload: JPEGs, their megapixels, and their decoded pixels."""

    files: list[bytes]
    decoded: list[Pixels]

    @classmethod
    def make(cls, count: int, least_px: int, most_px: int) -> "Pictures":
        """Make the same photographs every time."""
        files = [jpeg(image) for image in mixed_sides(count, least_px, most_px)]
        return cls(files, [np.array(Image.open(io.BytesIO(data)).convert("RGB")) for data in files])

    @property
    def megapixels(self) -> list[float]:
        """Megapixels of each."""
        return [picture.shape[0] * picture.shape[1] / 1e6 for picture in self.decoded]

    @property
    def smallest(self) -> bytes:
        """The smallest image, to try a server."""
        return min(self.files, key=len)


def expectations(pictures: Pictures) -> tuple[dict[str, list[Pixels]], dict[str, float]]:
    """Compute each network's output of each image in fp32, alone; and megapixels/s of loops without a server."""
    # What the peers do, in this process.
    sys.path.insert(0, str(ROOT / "benchmarks" / "peers"))
    import network  # noqa: PLC0415

    found: dict[str, list[Pixels]] = {}
    speeds: dict[str, float] = {}
    for name in ("style", "examples"):
        os.environ["PEER_NETWORK"] = name
        model = network.load_network()
        network.paint(model, Image.fromarray(min(pictures.decoded, key=len)))
        start = time.perf_counter()
        found[name] = [np.asarray(network.paint(model, Image.fromarray(picture))) for picture in pictures.decoded]
        speeds[f"{name}, `model(x)`, fp32"] = sum(pictures.megapixels) / (time.perf_counter() - start)
    os.environ["PEER_NETWORK"] = "style"
    return found, speeds


def bare(pictures: Pictures, banded: bool) -> float:
    """Return the megapixels/s of a loop over the images, in bands as in the service or by `model(x)`."""
    import network  # noqa: PLC0415

    net = network.load_network().to(memory_format=torch.channels_last)
    cpu = torch.device("cpu")

    def run(picture: Pixels) -> None:
        with inference():
            if banded:
                run_to_end(compute(net, [picture], cpu))
            else:
                from_network(net(to_network([picture])))

    run(min(pictures.decoded, key=len))
    start = time.perf_counter()
    for picture in pictures.decoded:
        run(picture)
    return sum(pictures.megapixels) / (time.perf_counter() - start)
