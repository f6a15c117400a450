"""Perceptual distances of two pictures: LPIPS (Zhang et al. 2018) and the paper's feature loss, over one VGG16."""

import warnings
from collections.abc import Mapping
from typing import Self

import lpips
import numpy as np
import torch
from torch import Tensor

from nets.pixels import Picture
from trainer.config import LayerName
from trainer.objective import losses
from trainer.objective.loss_network import LossNetwork

_FEATURE_LAYER: LayerName = "relu2_2"


class PerceptualDistance:
    """LPIPS by its authors' library and weights (v0.1, VGG), with the given convolutions of VGG16."""

    def __init__(self, vgg16: Mapping[str, Tensor]) -> None:
        """Take `features.N.weight` and `.bias` of torchvision's VGG16, all thirteen convolutions."""
        self._loss_network = LossNetwork(vgg16)
        with warnings.catch_warnings():  # it uses a deprecated argument of torchvision
            warnings.simplefilter("ignore")
            self._lpips = lpips.LPIPS(net="vgg", pnet_rand=True, verbose=False).eval().requires_grad_(False)
        with torch.no_grad():
            for name, parameter in self._lpips.net.named_parameters():  # slice1.0.weight is features.0.weight
                parameter.copy_(vgg16[f"features.{name.split('.', 1)[1]}"])

    def to(self, device: torch.device) -> Self:
        """Move to a device."""
        self._loss_network.to(device)
        self._lpips.to(device)
        return self

    def loss(self, pictures: Tensor, truth: Tensor) -> Tensor:
        """Return LPIPS as a loss: float (N, 3, H, W) in [0, 1] twice -> scalar, the mean over the batch."""
        distance: Tensor = self._lpips(pictures, truth, normalize=True)
        return distance.float().mean()

    @torch.inference_mode()
    def lpips(self, a: Picture, b: Picture) -> float:
        """Return LPIPS of two pictures, uint8 (H, W, 3); 0 for equal ones, larger is more different."""
        return float(self._lpips(_tensor(a), _tensor(b), normalize=True))

    @torch.inference_mode()
    def features(self, a: Picture, b: Picture) -> float:
        """Return the paper's feature reconstruction loss at relu2_2 of two pictures, uint8 (H, W, 3)."""
        one, other = (self._loss_network(_tensor(picture), [_FEATURE_LAYER])[_FEATURE_LAYER] for picture in (a, b))
        return losses.feature_reconstruction(one, other).item()


def _tensor(picture: Picture) -> Tensor:
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).unsqueeze(0).float() / 255
