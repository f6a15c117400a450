"""A trunk that OpenVINO has compiled for this CPU. All styles of the trunk, and their mixtures, share it."""

from typing import Literal

import numpy as np
import openvino
import torch
from torch import Tensor

from nets.compiled.graph import trunk_graph
from nets.golden import golden_input, golden_values
from nets.layers import single_thread
from nets.pixels import Picture, from_network, to_network
from nets.style_trunk import StyleTrunkNet, style_parameters, with_noise

SMALLEST_SIDE_PX = 32
"""The side of the golden input. Smaller pictures are for torch, which reflects the border of a map of one pixel."""

_KEPT_KERNELS = 256
"""Kernels that OpenVINO keeps for sizes that it has seen: those of about ten sizes. By default it keeps 5,000."""


class CompiledTrunk:
    """The convolutions of a trunk, compiled for a number of threads. One thread may use it at a time.

    OpenVINO adds up the sums of a norm in an order that depends on the number of threads, so that one number must
    compute all pictures: the last bit of a bfloat16 map becomes levels of a pixel.
    """

    def __init__(self, net: StyleTrunkNet, precision: Literal["fp32", "bf16"], threads: int) -> None:
        """Compile the trunk of `net`, which takes 0.2 s. Raises RuntimeError if OpenVINO cannot."""
        options = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision],
            "ENABLE_CPU_PINNING": False,  # decoders and other processes need the same cores
            "CPU_RUNTIME_CACHE_CAPACITY": _KEPT_KERNELS,
        }
        self._compiled = openvino.Core().compile_model(trunk_graph(net), "CPU", options)

    def stylize(self, net: StyleTrunkNet, picture: Picture) -> Picture:
        """Stylize a picture, uint8 or uint16 (H, W, 3) -> the same. net: the style.

        Raises ValueError if the output is not finite, and RuntimeError if OpenVINO fails.
        """
        height, width = picture.shape[:2]
        with single_thread():  # torch's threads would get in the way of OpenVINO's
            painted = self._paint(net, to_network([picture]))
            return from_network(painted[..., :height, :width], picture.dtype)[0]

    def golden_output(self, net: StyleTrunkNet) -> list[float]:
        """Return what `nets.golden.golden_output` returns, of this form of `net`."""
        with single_thread():
            return golden_values(self._paint(net, golden_input()))

    def release_memory(self) -> None:
        """Free the maps of the last picture."""
        self._compiled.release_memory()

    def _paint(self, net: StyleTrunkNet, x: Tensor) -> Tensor:
        """Compute float32 (1, 3, H, W) -> (1, 3, H + H % 2, W + W % 2)."""
        cells = with_noise(x).float().permute(0, 2, 3, 1).contiguous()
        style = [value.detach().float().reshape(1, -1, 1, 1) for value in style_parameters(net).values()]
        inputs = [np.asarray(each) for each in (cells, *style)]
        request = self._compiled.create_infer_request()
        return torch.from_numpy(request.infer(inputs, share_inputs=True)[0])
