"""The loss network: VGG16 pretrained on ImageNet, frozen (Johnson et al. 2016, section 3.2)."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn
from torchvision.models import VGG16_Weights
from torchvision.models.vgg import cfgs, make_layers

from nets.checkpoint import weights_digest
from trainer.errors import TrainerError

LAYERS: Mapping[str, int] = {
    "relu1_2": 3,
    "relu2_2": 8,
    "relu3_3": 15,
    "relu4_2": 20,
    "relu4_3": 22,
    "relu5_1": 25,
}
"""The layers of the losses and measures, with their index in torchvision's `vgg16().features`."""

ENVIRONMENT_VARIABLE = "IMPASTO_VGG16"

_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


class LossNetwork(nn.Module):
    """float (N, 3, H, W), RGB in [0, 1] -> features by layer name: float (N, C, H / s, W / s), after the ReLU.

    Channels and s: relu1_2 64, 1; relu2_2 128, 2; relu3_3 256, 4; relu4_2 and relu4_3 512, 8;
    relu5_1 512, 16. It owns the ImageNet normalisation. Its weights never change; gradients flow to its input only.
    """

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        """Take `features.N.weight` and `.bias` of torchvision's VGG16. Raises TrainerError if one is missing."""
        super().__init__()
        self.features = make_layers(cfgs["D"], batch_norm=False)[: max(LAYERS.values()) + 1]
        wanted = {f"features.{name}" for name in self.features.state_dict()}
        missing = sorted(wanted - set(weights))
        if missing:
            raise TrainerError(f"VGG16 weights lack {missing[0]}: expected torchvision's names, features.N.weight/bias")
        try:
            self.load_state_dict({name: weights[name] for name in wanted})
        except RuntimeError as error:
            raise TrainerError(f"VGG16 weights do not fit: {' '.join(str(error).split())[:300]}") from error
        self.digest = weights_digest({name: weights[name] for name in wanted})
        self.register_buffer("mean", torch.tensor(_MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(_STD)[:, None, None], persistent=False)
        self.requires_grad_(False)
        self.eval()

    def forward(self, x: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """Return the features at `layers` (names of `LAYERS`). Nothing deeper is computed."""
        indices = {LAYERS[name]: name for name in layers}
        dtype = self.features[0].weight.dtype
        y = ((x - self.mean) / self.std).to(dtype)  # type: ignore[operator]  # buffers are tensors
        found: dict[str, Tensor] = {}
        for index, layer in enumerate(self.features[: max(indices) + 1]):
            y = layer(y)
            if index in indices:
                found[indices[index]] = y
        return found


def load_loss_network(path: Path | None = None) -> LossNetwork:
    """Return the loss network with the weights of `load_vgg16`."""
    return LossNetwork(load_vgg16(path))


def load_vgg16(path: Path | None = None) -> Mapping[str, Tensor]:
    """Load VGG16's weights from `path`, else from the file in IMPASTO_VGG16, else torchvision's (downloaded once).

    A file is safetensors, or a .pth with tensors only; keys other than `features.N.*` are ignored.
    Raises TrainerError, with what to do, if there are no weights.
    """
    given = path or (Path(value) if (value := os.environ.get(ENVIRONMENT_VARIABLE)) else None)
    if given is not None:
        return _read_weights(given)
    try:
        weights: Mapping[str, Tensor] = VGG16_Weights.IMAGENET1K_V1.get_state_dict(progress=True, check_hash=True)
    except (OSError, RuntimeError) as error:  # URLError is an OSError; a wrong hash is a RuntimeError
        raise TrainerError(
            f"VGG16 weights could not be downloaded from {VGG16_Weights.IMAGENET1K_V1.url} ({error}). Fetch that file "
            f"on a machine with a network and pass it with --vgg16 FILE or {ENVIRONMENT_VARIABLE}=FILE."
        ) from error
    return weights


def _read_weights(path: Path) -> Mapping[str, Tensor]:
    if not path.is_file():
        raise TrainerError(f"no VGG16 weights at {path} (from --vgg16 or {ENVIRONMENT_VARIABLE})")
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        weights: Mapping[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
        return weights
    except Exception as error:  # both libraries raise many kinds of errors for a broken file
        raise TrainerError(f"VGG16 weights at {path} cannot be read: {error}") from error
