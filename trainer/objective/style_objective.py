"""The objective of a network and of Gatys' pixels: the content of one picture, the style of another (paper, 3.2)."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from trainer.config import LayerName, StyleLoss
from trainer.objective import losses
from trainer.objective.loss_network import LossNetwork

Scale = Literal["full", "half"]
"""The resolution at which pictures are compared: full, or reduced by two."""


@dataclass(frozen=True)
class Content:
    """The content of a batch: features (N, C, H', W') of the loss network by scale, and its `losses.light`."""

    features: Mapping[Scale, Tensor]
    light: Tensor
    deviation: Tensor


class StyleObjective:
    """The weighted loss terms of one style image, whose Gram matrices are computed once.

    loss_network: on the device of the pictures. style_image: float (1, 3, H, W) in [0, 1]. identity: tells this
    objective from any other.
    """

    def __init__(self, loss_network: LossNetwork, loss: StyleLoss, style_image: Tensor) -> None:
        self.loss_network, self.loss = loss_network, loss
        self._layers: dict[Scale, dict[LayerName, float]] = {"full": loss.style_layers}
        self._content_layer: dict[Scale, LayerName] = {"full": loss.content_layer, "half": loss.half_content_layer}
        if loss.half_layers:
            self._layers["half"] = loss.half_layers
        self._compare = {
            "relative": losses.relative_style_reconstruction,
            "absolute": losses.style_reconstruction,
        }[loss.gram_scale]
        style = hashlib.sha256(style_image.contiguous().cpu().numpy().tobytes()).hexdigest()
        self.identity = f"{style} {loss.model_dump_json()} {loss_network.digest}"
        with torch.no_grad():
            self._grams = {scale: self._style_grams(style_image, scale) for scale in self._layers}

    @property
    def scales(self) -> tuple[Scale, ...]:
        """The scales at which pictures are compared."""
        return tuple(self._layers)

    @torch.no_grad()
    def content(self, pictures: Tensor, scales: Sequence[Scale] | None = None) -> Content:
        """Compute the content of content images, float (N, 3, H, W) in [0, 1], at `scales` (None: all); no graph."""
        features = {}
        for scale in scales or self.scales:
            layer = self._content_layer[scale]
            features[scale] = self.loss_network(reduced(pictures, scale), [layer])[layer]
        return Content(features, losses.light(pictures), losses.deviation(pictures))

    def terms(self, pictures: Tensor, content: Content) -> dict[str, Tensor]:
        """Compute the weighted terms by name, at the scales of `content`; their sum is the objective.

        pictures: float (N, 3, H, W), nominally in [0, 1]. content: that of their content images, from `content`.
        Terms without a weight are left out.
        """
        loss = self.loss
        parts = [self._at_scale(pictures, content, scale) for scale in content.features]
        terms = {name: torch.stack([part[name] for part in parts]).sum() for name in ("content", "style")}
        if loss.light_weight:
            terms["light"] = loss.light_weight * (losses.light(pictures) - content.light).square().mean()
        if loss.contrast_weight:
            terms["contrast"] = loss.contrast_weight * losses.lost_contrast(pictures, content.deviation)
        if loss.total_variation_weight:
            terms["tv"] = loss.total_variation_weight * losses.total_variation(pictures)
        if loss.grid_weight:
            terms["grid"] = loss.grid_weight * losses.grid(pictures)
        if loss.range_weight:
            terms["range"] = loss.range_weight * losses.out_of_range(pictures)
        return terms

    def _at_scale(self, pictures: Tensor, content: Content, scale: Scale) -> dict[str, Tensor]:
        loss, layers, content_layer = self.loss, self._layers[scale], self._content_layer[scale]
        features = self.loss_network(reduced(pictures, scale), sorted({content_layer, *layers}))
        kept = content.features[scale]
        distance = losses.feature_reconstruction(features[content_layer], kept)
        if loss.content_scale == "relative":
            distance = distance / kept.float().var(correction=0)
        grams = {name: losses.gram(features[name]) for name in layers}
        compared = [weight * self._compare(grams[name], self._grams[scale][name]) for name, weight in layers.items()]
        return {"content": loss.content_weight * distance, "style": loss.style_weight * torch.stack(compared).sum()}

    def _style_grams(self, style_image: Tensor, scale: Scale) -> dict[LayerName, Tensor]:
        layers = self._layers[scale]
        features = self.loss_network(reduced(style_image, scale), list(layers))
        return {name: losses.gram(features[name]) for name in layers}


def reduced(pictures: Tensor, scale: Scale) -> Tensor:
    """Reduce by two with area averaging where `scale` says so: (N, 3, H, W) -> (N, 3, H // 2, W // 2)."""
    return F.avg_pool2d(pictures, 2) if scale == "half" else pictures
