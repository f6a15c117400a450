"""DISTS (Ding et al. 2020), a distance of structure and texture, if its authors' package is installed.

`pip install --no-deps DISTS-pytorch` brings the weights of the layers. The convolutions are the given ones of VGG16.
"""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_STAGES = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))
"""Convolutions of VGG16 before each pooling, by their index in torchvision's `features`."""

_MEAN, _STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
_SMALL = 1e-6


class Dists:
    """The distance: 0 for equal pictures."""

    def __init__(self, vgg16: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
        """vgg16: `features.N.weight` and `.bias`. weights: alpha and beta of the package."""
        self._vgg16 = vgg16
        total = weights["alpha"].sum() + weights["beta"].sum()
        self._alpha, self._beta = weights["alpha"] / total, weights["beta"] / total
        hann = np.hanning(5)[1:-1]
        window = torch.from_numpy(hann[:, None] * hann[None]).float()
        self._window = (window / window.sum())[None, None]

    @torch.inference_mode()
    def __call__(self, a: "np.ndarray[Any, Any]", b: "np.ndarray[Any, Any]") -> float:
        """Compare two pictures, uint8 (H, W, 3)."""
        similar = torch.zeros(())
        start = 0
        for one, other in zip(self._features(a), self._features(b), strict=True):
            end = start + one.shape[1]
            alpha, beta = self._alpha[:, start:end], self._beta[:, start:end]
            m1, m2 = one.mean((2, 3), keepdim=True), other.mean((2, 3), keepdim=True)
            v1, v2 = ((x - m).square().mean((2, 3), keepdim=True) for x, m in ((one, m1), (other, m2)))
            shared = (one * other).mean((2, 3), keepdim=True) - m1 * m2
            similar = similar + (alpha * (2 * m1 * m2 + _SMALL) / (m1.square() + m2.square() + _SMALL)).sum()
            similar = similar + (beta * (2 * shared + _SMALL) / (v1 + v2 + _SMALL)).sum()
            start = end
        return float(1 - similar)

    def _features(self, picture: "np.ndarray[Any, Any]") -> list[Tensor]:
        x = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 255
        found, y = [x], (x - _MEAN[:, None, None]) / _STD[:, None, None]
        for number, stage in enumerate(_STAGES):
            if number:
                y = self._pooled(y)
            for index in stage:
                y = F.relu(
                    F.conv2d(
                        y, self._vgg16[f"features.{index}.weight"], self._vgg16[f"features.{index}.bias"], padding=1
                    )
                )
            found.append(y.float())
        return found

    def _pooled(self, y: Tensor) -> Tensor:
        """Return the root of the blurred squares, at half the size."""
        window = self._window.expand(y.shape[1], 1, 3, 3)
        return (F.conv2d(y.square(), window, stride=2, padding=1, groups=y.shape[1]) + 1e-12).sqrt()


def installed(vgg16: Mapping[str, Tensor]) -> Dists | None:
    """Return the distance, or None without the package."""
    found = find_spec("DISTS_pytorch")
    if found is None or found.origin is None:
        return None
    weights = torch.load(Path(found.origin).parent / "weights.pt", map_location="cpu", weights_only=True)
    return Dists(vgg16, weights)
