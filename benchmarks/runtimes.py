"""One network in one runtime: converted by one process, measured in another.

A runtime maps float32 (1, 3, H, W) in [0, 1] to float32 (1, 3, sH, sW). Files have one fixed size, the best case of
ONNX Runtime and OpenVINO.
"""

import os
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from chosen import inference
from numpy.typing import NDArray
from torch import Tensor, nn

from nets.banded.bands import run_to_end
from nets.banded.run import compute
from nets.layers import InstanceNorm, grain
from nets.precision import cpu_precision
from nets.style_transfer import StyleTransferNet
from nets.style_trunk import StyleTrunkNet, with_noise

Floats = NDArray[np.float32]
Run = Callable[[Floats], Floats]

CORES = os.cpu_count() or 1
_PIXEL_CHANNELS = 4 * 3
PRECISION = cpu_precision()
"""The precision of the service on this CPU, and of torch beside it."""

REFERENCE = "torch eager, fp32"
RUNTIMES = (
    f"Impasto, bands, {PRECISION}",
    REFERENCE,
    f"torch eager, channels_last, {PRECISION}",
    f"torch.compile, {PRECISION}",
    f"torch.compile, dynamic sizes, {PRECISION}",
    "ONNX Runtime, fp32",
    "ONNX Runtime, int8",
    "OpenVINO, fp32",
    *(["OpenVINO, bf16"] if PRECISION == "bf16" else []),
    "OpenVINO, int8",
)


def convert(net: nn.Module, example: Floats, calibration: list[Floats], folder: Path) -> Iterator[tuple[str, str]]:
    """Write FOLDER/{fp32,int8}.onnx and FOLDER/{fp32,int8}.xml, calibrated on photographs.

    Yields (file, what failed).
    """
    folder.mkdir(parents=True, exist_ok=True)
    steps: dict[str, Callable[[], None]] = {
        "fp32.onnx": lambda: _export(net, example, folder / "fp32.onnx"),
        "int8.onnx": lambda: _quantise_onnx(folder / "fp32.onnx", folder / "int8.onnx", calibration),
        "fp32.xml": lambda: _openvino(folder / "fp32.onnx", folder / "fp32.xml", None),
        "int8.xml": lambda: _openvino(folder / "fp32.onnx", folder / "int8.xml", calibration),
    }
    for name, step in steps.items():
        try:
            step()
        except Exception as error:  # noqa: BLE001  # a runtime that cannot do it is a finding, not the end
            yield name, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def prepare(runtime: str, net: nn.Module, folder: Path) -> Run:
    """Load the network in the runtime."""
    if runtime.startswith("Impasto"):
        return _ours(net)
    if runtime.startswith("torch"):
        return _torch(net, runtime)
    precision = runtime.rpartition(" ")[2]
    if runtime.startswith("ONNX"):
        return _onnx_runtime(folder / f"{precision}.onnx")
    return _openvino_runtime(folder, precision)


class WithGrain(nn.Module):
    """A network with constant grain, for one size: converters do not support the integers of the hash."""

    def __init__(self, net: nn.Module, noise: Tensor) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("noise", noise)

    def forward(self, x: Tensor) -> Tensor:
        """Compute as the network does."""
        y: Tensor = self.net(x + self.noise)
        return y


class TrunkOfOneSize(nn.Module):
    """A trunk with constant noise, for one size with even sides."""

    def __init__(self, net: StyleTrunkNet, height: int, width: int) -> None:
        super().__init__()
        self.net = net
        cells = with_noise(torch.zeros(1, 3, height, width))
        self.register_buffer("noise", cells[:, _PIXEL_CHANNELS:])

    def forward(self, x: Tensor) -> Tensor:
        """Compute as the network does."""
        return self.net.paint(torch.cat([F.pixel_unshuffle(x - 0.5, 2), self.noise], dim=1))


def plain(net: nn.Module, height: int, width: int) -> nn.Module:
    """Return the same network, for one size, with only torch's own layers."""
    net = deepcopy(net)
    if isinstance(net, StyleTransferNet) and net.config.grain:
        noise = net.config.grain * grain(height, width, torch.device("cpu"))
        net.config = replace(net.config, grain=0.0)
        return WithGrain(_with_torch_norms(net), noise).eval()
    if isinstance(net, StyleTrunkNet):
        return TrunkOfOneSize(_with_torch_norms(net), height, width).eval()
    return _with_torch_norms(net)


def _with_torch_norms(net: nn.Module) -> nn.Module:
    for parent in list(net.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, InstanceNorm):
                norm = nn.InstanceNorm2d(child.weight.shape[0], affine=True)
                norm.load_state_dict(child.state_dict())
                setattr(parent, name, norm)
    return net.eval()


def _ours(net: nn.Module) -> Run:
    net = net.to(memory_format=torch.channels_last)

    def run(x: Floats) -> Floats:
        picture = (x[0].transpose(1, 2, 0) * 255).round().astype(np.uint8)
        with inference():
            answer = run_to_end(compute(net, [np.ascontiguousarray(picture)], torch.device("cpu")))[0]
        if isinstance(answer, Exception):
            raise answer
        return np.asarray(answer, dtype=np.float32).transpose(2, 0, 1)[None] / 255

    return run


def _torch(net: nn.Module, runtime: str) -> Run:
    layout = torch.contiguous_format if runtime == REFERENCE else torch.channels_last
    net = net.to(memory_format=layout)
    model: Callable[[Tensor], Tensor] = net
    if ".compile" in runtime:
        model = torch.compile(net, dynamic="dynamic" in runtime)

    def run(x: Floats) -> Floats:
        tensor = torch.from_numpy(x).to(memory_format=layout)
        with inference(runtime.rpartition(" ")[2]):
            return model(tensor).float().numpy()

    return run


def _export(net: nn.Module, example: Floats, path: Path) -> None:
    torch.onnx.export(
        plain(net, *example.shape[-2:]),
        (torch.from_numpy(example),),
        str(path),
        dynamo=False,
        opset_version=17,
        input_names=["x"],
    )


def _quantise_onnx(source: Path, target: Path, calibration: list[Floats]) -> None:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static  # noqa: PLC0415
    from onnxruntime.quantization.shape_inference import quant_pre_process  # noqa: PLC0415

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._left = iter(calibration)

        def get_next(self) -> dict[str, Floats] | None:
            picture = next(self._left, None)
            return None if picture is None else {"x": picture}

    prepared = target.with_suffix(".prepared.onnx")
    quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
    quantize_static(str(prepared), str(target), Reader(), quant_format=QuantFormat.QDQ, per_channel=True)


def _openvino(source: Path, target: Path, calibration: list[Floats] | None) -> None:
    import openvino  # noqa: PLC0415

    model = openvino.convert_model(str(source))
    if calibration is not None:
        import nncf  # noqa: PLC0415

        model = nncf.quantize(model, nncf.Dataset(calibration), subset_size=len(calibration))
    openvino.save_model(model, str(target), compress_to_fp16=False)


def _onnx_runtime(path: Path) -> Run:
    import onnxruntime  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = CORES
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x})[0]


def _openvino_runtime(folder: Path, precision: str) -> Run:
    import openvino  # noqa: PLC0415

    core = openvino.Core()
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": CORES}
    if precision != "int8":
        settings["INFERENCE_PRECISION_HINT"] = {"fp32": "f32", "bf16": "bf16"}[precision]
    file = "int8.xml" if precision == "int8" else "fp32.xml"
    model = core.compile_model(str(folder / file), "CPU", settings)
    return lambda x: model(x)[0]
