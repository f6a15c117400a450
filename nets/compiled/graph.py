"""The graph of a trunk for OpenVINO: its convolutions as constants, the scales and shifts of a style as inputs.

It says the same as `StyleTrunkNet.paint`. Tracing that in torch would take seconds at each start.
"""

import numpy as np
from openvino import Model, Node
from openvino import opset15 as op
from torch import Tensor

from nets.layers import NORM_EPSILON, ReflectionConv
from nets.style_trunk import Stage, StyleTrunkNet, style_parameters

_ROWS_AND_COLUMNS = [2, 3]


def trunk_graph(net: StyleTrunkNet) -> Model:
    """Return the graph of `net.paint` for one picture of any size, without its style.

    Inputs: float32 (1, H, W, 16), the cells of `nets.style_trunk.with_noise`; then (1, C, 1, 1) for each of
    `style_parameters(net)`, in that order. Output: float32 (1, 3, 2 H, 2 W). H and W are at least 5, so that a map at
    1/4 of them can be reflected.
    """
    cells = op.parameter([1, -1, -1, net.stem.conv.conv.in_channels], np.float32)
    style = {name: op.parameter([1, len(value), 1, 1], np.float32) for name, value in style_parameters(net).items()}

    def stage(name: str, x: Node) -> Node:
        part = net.get_submodule(name)
        assert isinstance(part, Stage)
        y = op.mvn(_convolution(part.conv, x), op.constant(_ROWS_AND_COLUMNS), True, NORM_EPSILON, "INSIDE_SQRT")
        return _scaled(y, style, f"{name}.norm")

    half = op.relu(stage("stem", op.transpose(cells, op.constant([0, 3, 1, 2]))))
    quarter = op.relu(stage("down1", half))
    body = op.relu(stage("down2", quarter))
    for i in range(len(net.residual)):
        inner = op.relu(stage(f"residual.{i}.first", body))
        body = op.add(body, stage(f"residual.{i}.second", inner))
    y = op.relu(op.add(stage("up1", _enlarged(body, quarter)), stage("skip", quarter)))
    y = op.relu(stage("up2", _enlarged(y, half)))
    pixels = op.depth_to_space(_convolution(net.output.conv, y), "depth_first", 2)
    return Model([_scaled(_blurred(pixels), style, "output")], [cells, *style.values()], "trunk")


def _convolution(part: ReflectionConv, x: Node) -> Node:
    """The convolution with reflection padding, without a bias."""
    weight, padding = part.conv.weight, [0, 0, part.padding, part.padding]
    padded = op.pad(x, op.constant(padding), op.constant(padding), "reflect") if part.padding else x
    return op.convolution(padded, _constant(weight), list(part.conv.stride), [0, 0], [0, 0], [1, 1])


def _scaled(x: Node, style: dict[str, Node], name: str) -> Node:
    return op.add(op.multiply(x, style[f"{name}.weight"]), style[f"{name}.bias"])


def _enlarged(x: Node, like: Node) -> Node:
    """Bilinear interpolation by two, cut to the size of `like`."""
    axes = op.constant(_ROWS_AND_COLUMNS)
    scales = op.constant(np.full(2, 2.0, np.float32))
    y = op.interpolate(x, scales, "linear_onnx", "scales", coordinate_transformation_mode="half_pixel", axes=axes)
    size = op.gather(op.shape_of(like), axes, op.constant(0))
    return op.slice(y, op.constant([0, 0]), size, op.constant([1, 1]), axes)


def _blurred(pixels: Node) -> Node:
    """The blur of `cells_to_pixels`: two means of 2x2 pixels are (1 2 1) / 4 along each side."""
    border = op.constant([0, 0, 1, 1])
    y = op.pad(pixels, border, border, "edge")
    for _ in range(2):
        y = op.avg_pool(y, [1, 1], [0, 0], [0, 0], [2, 2], True)
    return y


def _constant(weight: Tensor) -> Node:
    return op.constant(np.ascontiguousarray(weight.detach().numpy()))
