"""The network of every peer and one image's way through it, independent of the server.

PEER_NETWORK: "style" (the bundled `mosaic`) or "examples" (the full-width network of pytorch/examples, with
seeded weights, for its speed). PEER_TUNED=fp32 or bf16: that precision, channels_last and one thread per core.
"""

import os
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms.functional import pil_to_tensor, to_pil_image

from nets.checkpoint import load

CHECKPOINT = Path(__file__).resolve().parents[2] / "checkpoints" / "stylize" / "mosaic.safetensors"


def load_network() -> nn.Module:
    """Load the network that the environment selects: float (1, 3, H, W) in [0, 1] -> the same."""
    net = ExamplesNet() if os.environ.get("PEER_NETWORK") == "examples" else load(CHECKPOINT).net
    if tuned():
        torch.set_num_threads(os.cpu_count() or 1)
        net = net.to(memory_format=torch.channels_last)
    return net.eval()


def tuned() -> bool:
    """Return whether to use our network settings."""
    return "PEER_TUNED" in os.environ


@torch.inference_mode()
def paint(model: nn.Module, picture: Image.Image) -> Image.Image:
    """Process one image as in tutorials: tensor, `model(x)`, image."""
    x = pil_to_tensor(picture.convert("RGB")).unsqueeze(0).float() / 255
    if tuned():
        x = x.to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16, enabled=os.environ.get("PEER_TUNED") == "bf16"):
        y: Tensor = model(x)
    return to_pil_image(y[0].float().clamp(0, 1).mul(255).round().to(torch.uint8))


class ExamplesNet(nn.Module):
    """The network of pytorch/examples, fast_neural_style: width 32, instance norm, five residual blocks.

    Its input and output go from 0 to 255 there. The last layer is scaled so that random weights show something.
    """

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            *_layer(3, 32, 9),
            *_layer(32, 64, 3, stride=2),
            *_layer(64, 128, 3, stride=2),
            *(_Residual(128) for _ in range(5)),
            nn.Upsample(scale_factor=2, mode="nearest"),
            *_layer(128, 64, 3),
            nn.Upsample(scale_factor=2, mode="nearest"),
            *_layer(64, 32, 3),
            nn.ReflectionPad2d(4),
            nn.Conv2d(32, 3, 9),
        )
        last = self.layers[-1]
        assert isinstance(last, nn.Conv2d)
        with torch.no_grad():
            last.weight *= 100
            if last.bias is not None:
                last.bias.fill_(127)

    def forward(self, x: Tensor) -> Tensor:
        """Compute float (1, 3, H, W) in [0, 1] -> about the same range."""
        y: Tensor = self.layers(255 * x)
        return y[..., : x.shape[-2], : x.shape[-1]].float() / 255


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*_layer(channels, channels, 3), *_layer(channels, channels, 3)[:-1])

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return x + y


def _layer(channels_in: int, channels_out: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    return [
        nn.ReflectionPad2d(kernel // 2),
        nn.Conv2d(channels_in, channels_out, kernel, stride),
        nn.InstanceNorm2d(channels_out, affine=True),
        nn.ReLU(),
    ]
