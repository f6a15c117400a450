"""A TensorFlow.js layers model, such as UpscalerJS ships, computed by torch: in the same runtime as ours."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LayersModel(nn.Module):
    """float (1, 3, H, W) -> float (1, 3, sH, sW), in the range that the model was made for.

    Knows the layers of UpscalerJS' ESRGAN slim and medium: convolutions, ReLU, concatenation, sum, nearest enlarging.
    Raises ValueError for another one.
    """

    def __init__(self, folder: Path) -> None:
        """folder: with model.json and its shards."""
        super().__init__()
        model = json.loads((folder / "model.json").read_text())
        graph = model["modelTopology"]["model_config"]["config"]
        self._layers: list[dict[str, Any]] = graph["layers"]
        self._output: str = graph["output_layers"][0][0]
        weights = _weights(folder, model["weightsManifest"])
        self.convolutions = nn.ModuleDict()
        for layer in self._layers:
            if layer["class_name"] == "Conv2D":
                self.convolutions[layer["config"]["name"]] = _convolution(layer["config"], weights)

    def forward(self, x: Tensor) -> Tensor:
        """Layer by layer, in the order of the file."""
        found: dict[str, Tensor] = {}
        for layer in self._layers:
            name = layer["config"]["name"]
            nodes = layer["inbound_nodes"]
            given = [found[node[0]] for node in nodes[0]] if nodes else [x]
            found[name] = self._answer_of(layer, name, given)
        return found[self._output]

    def _answer_of(self, layer: dict[str, Any], name: str, given: list[Tensor]) -> Tensor:
        match layer["class_name"]:
            case "InputLayer":
                return given[0]
            case "Conv2D":
                answer: Tensor = self.convolutions[name](given[0])
                return answer
            case "Activation" if layer["config"]["activation"] == "relu":
                return F.relu(given[0])
            case "Concatenate":
                return torch.cat(given, 1)
            case "Add":
                return torch.stack(given).sum(0) if len(given) > 2 else given[0] + given[1]
            case "UpSampling2D":
                return F.interpolate(given[0], scale_factor=float(layer["config"]["size"][0]), mode="nearest")
        raise ValueError(f"layer {name!r} is a {layer['class_name']}, which is not known")


def _weights(folder: Path, manifest: list[dict[str, Any]]) -> dict[str, Tensor]:
    found = {}
    for group in manifest:
        data = b"".join((folder / path).read_bytes() for path in group["paths"])
        at = 0
        for entry in group["weights"]:
            count = int(np.prod(entry["shape"]))
            values = np.frombuffer(data, "<f4", count, at).reshape(entry["shape"])
            found[entry["name"]] = torch.from_numpy(values.copy())
            at += 4 * count
    return found


def _convolution(config: dict[str, Any], weights: dict[str, Tensor]) -> nn.Conv2d:
    kernel = weights[f"{config['name']}/kernel"].permute(3, 2, 0, 1).contiguous()
    conv = nn.Conv2d(
        kernel.shape[1],
        kernel.shape[0],
        kernel.shape[2],
        padding=kernel.shape[2] // 2 if config["padding"] == "same" else 0,
        bias=config["use_bias"],
    )
    conv.weight.data = kernel
    if conv.bias is not None:
        conv.bias.data = weights[f"{config['name']}/bias"]
    return conv
