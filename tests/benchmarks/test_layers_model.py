"""A TensorFlow.js model in torch, against a convolution worked out by hand."""

import json

import numpy as np
import pytest
import torch
from peers.layers_model import LayersModel


def layer(kind: str, name: str, inputs: list[str], **config: object) -> dict:
    nodes = [[[each, 0, 0, {}] for each in inputs]] if inputs else []
    return {"class_name": kind, "config": {"name": name, **config}, "inbound_nodes": nodes}


def write(folder, last: dict) -> None:
    """in -> 3x3 convolution -> ReLU; beside the input; added to itself; enlarged."""
    layers = [
        layer("InputLayer", "in", []),
        layer("Conv2D", "conv", ["in"], padding="same", use_bias=True),
        layer("Activation", "relu", ["conv"], activation="relu"),
        layer("Concatenate", "both", ["in", "relu"]),
        layer("Add", "sum", ["both", "both"]),
        last,
    ]
    kernel = np.zeros((3, 3, 1, 1), "<f4")
    kernel[1, 2] = 2.0  # twice the neighbour to the right
    bias = np.array([-3.0], "<f4")
    (folder / "shard.bin").write_bytes(kernel.tobytes() + bias.tobytes())
    names = [("conv/kernel", kernel.shape), ("conv/bias", bias.shape)]
    weights = [{"name": name, "shape": list(shape), "dtype": "float32"} for name, shape in names]
    topology = {"layers": layers, "output_layers": [["last", 0, 0]]}
    model = {
        "modelTopology": {"model_config": {"config": topology}},
        "weightsManifest": [{"paths": ["shard.bin"], "weights": weights}],
    }
    (folder / "model.json").write_text(json.dumps(model))


def test_layers_do_what_their_names_say(tmp_path):
    write(tmp_path, layer("UpSampling2D", "last", ["sum"], size=[2, 2]))
    answer = LayersModel(tmp_path)(torch.tensor([[[[1.0, 2.0, 1.0]]]]))
    # Convolved: 2*2-3, 2*1-3, 0-3; rectified: 1, 0, 0. All of it doubled by the sum, and each pixel four times.
    assert answer[0, :, ::2, ::2].tolist() == [[[2.0, 4.0, 2.0]], [[2.0, 0.0, 0.0]]]
    assert answer.shape == (1, 2, 2, 6)


def test_an_unknown_layer_is_named(tmp_path):
    write(tmp_path, layer("Dense", "last", ["sum"]))
    with pytest.raises(ValueError, match="'last' is a Dense"):
        LayersModel(tmp_path)(torch.zeros(1, 1, 2, 2))
