"""What a network and Gatys' pixels are trained to: the content of one picture, the style of another (paper, 3.2)."""

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.config import LayerName, StyleLoss
from trainer.objective import losses
from trainer.objective.loss_network import LossNetwork


@dataclass(frozen=True)
class Content:
    """What is to be kept of a batch: features (N, C, H', W') of the loss network, and its losses.light."""

    features: Tensor
    light: Tensor


class StyleObjective:
    """The weighted loss terms of one style image, whose Gram matrices are computed once.

    loss_network: on the device of the pictures. style_image: float (1, 3, H, W) in [0, 1]. identity: tells this
    objective from any other.
    """

    def __init__(self, loss_network: LossNetwork, loss: StyleLoss, style_image: Tensor) -> None:
        self.loss_network, self.loss = loss_network, loss
        self._weights: dict[LayerName, float] = {name: weight for name, weight in loss.style_layers.items() if weight}
        self._compare = {
            "relative": losses.relative_style_reconstruction,
            "absolute": losses.style_reconstruction,
        }[loss.gram_scale]
        style = hashlib.sha256(style_image.contiguous().cpu().numpy().tobytes()).hexdigest()
        self.identity = f"{style} {loss.model_dump_json()} {loss_network.digest}"
        with torch.no_grad():
            features = loss_network(style_image, list(self._weights))
            self._grams = {name: losses.gram(features[name]) for name in self._weights}

    @torch.no_grad()
    def content(self, pictures: Tensor) -> Content:
        """What is to be kept of content images, float (N, 3, H, W) in [0, 1]; without a graph."""
        layer = self.loss.content_layer
        features: dict[str, Tensor] = self.loss_network(pictures, [layer])
        return Content(features[layer], losses.light(pictures))

    def terms(self, pictures: Tensor, content: Content) -> dict[str, Tensor]:
        """The weighted terms, by name; their sum is the objective. Terms of no weight are left out.

        pictures: float (N, 3, H, W), nominally in [0, 1]. content: what `content` gave for their content images.
        """
        loss = self.loss
        features = self.loss_network(pictures, sorted({loss.content_layer, *self._weights}))
        style = torch.stack(
            [
                weight * self._compare(losses.gram(losses.patches(features[name], loss.style_grid)), self._grams[name])
                for name, weight in self._weights.items()
            ]
        ).sum()
        terms = {
            "content": loss.content_weight
            * losses.feature_reconstruction(features[loss.content_layer], content.features),
            "style": loss.style_weight * style,
        }
        if loss.light_weight:
            terms["light"] = loss.light_weight * (losses.light(pictures) - content.light).square().mean()
        if loss.total_variation_weight:
            terms["tv"] = loss.total_variation_weight * losses.total_variation(pictures)
        if loss.range_weight:
            terms["range"] = loss.range_weight * losses.out_of_range(pictures)
        return terms
