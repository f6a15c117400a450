"""The objective of an upscaler: the terms of `UpscaleLoss` over an output and the photograph that it should be."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from trainer.config import UpscaleLoss
from trainer.objective import losses
from trainer.objective.adversary import Adversary
from trainer.objective.loss_network import LossNetwork
from trainer.objective.perceptual_distance import PerceptualDistance


class UpscaleObjective:
    """The weighted terms, and the adversary that learns beside the upscaler, if the loss has one.

    factor: of the upscaler. vgg16: weights, if a term needs them.
    """

    def __init__(
        self,
        loss: UpscaleLoss,
        factor: int,
        vgg16: Mapping[str, Tensor] | None,
        device: torch.device,
        precision: str,
    ) -> None:
        self._loss, self._device, self._reduced = loss, device, precision == "bf16"
        self._cells = (2, 4, 8) if factor > 4 else (2, 4)
        self._network = self._distance = self._adversary = None
        if vgg16 is not None:
            self._network = LossNetwork(vgg16)
            self._network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            self._network.features.to(torch.bfloat16 if self._reduced else torch.float32)
            self._distance = PerceptualDistance(vgg16).to(device) if loss.lpips_weight else None
        if loss.adversarial_weight:
            self._adversary = Adversary(device, loss.adversary_warm_up)

    @property
    def loss_network(self) -> str | None:
        """The loss network with its digest, for the card; None if no term needs it."""
        return None if self._network is None else f"vgg16@sha256:{self._network.digest}"

    def terms(self, output: Tensor, truth: Tensor, iteration: int) -> dict[str, Tensor]:
        """Return the weighted terms by name; their sum is the loss. Both: float (N, 3, H, W) in [0, 1]."""
        loss = self._loss
        compare = losses.pixel if loss.pixel == "l1" else losses.squared_pixel
        terms = {"pixel": loss.pixel_weight * compare(output, truth)}
        if iteration < loss.pixel_iterations:
            return terms
        if loss.feature_weight and self._network is not None:
            layer = loss.feature_layer
            with torch.no_grad():
                target = self._network(truth, [layer])[layer]
            features = self._network(output, [layer])[layer]
            terms["feature"] = loss.feature_weight * losses.feature_reconstruction(features, target)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._reduced):
            if self._distance is not None:
                terms["lpips"] = loss.lpips_weight * self._distance.loss(output, truth)
            if self._adversary is not None:
                terms["adversarial"] = loss.adversarial_weight * self._adversary.loss(output)
        if loss.grid_weight:
            terms["grid"] = loss.grid_weight * losses.grid(output, self._cells)
        if loss.fine_weight:
            terms["fine"] = loss.fine_weight * losses.fine(output, truth)
        if loss.lattice_weight:
            terms["lattice"] = loss.lattice_weight * losses.lattice(output, truth, self._cells[-1])
        return terms

    def learn(self, output: Tensor, truth: Tensor, iteration: int) -> dict[str, Tensor]:
        """Train the adversary, after a step of the upscaler. Returns its loss by name."""
        if self._adversary is None or iteration < self._loss.pixel_iterations:
            return {}
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._reduced):
            return {"adversary": self._adversary.learn(output, truth)}

    def restore(self, state: Mapping[str, Any] | None) -> None:
        """Continue from the state of a run; None starts afresh."""
        if state is not None and self._adversary is not None:
            self._adversary.restore(state["adversary"])

    def state(self) -> dict[str, Any]:
        """Return what a run needs to continue: empty without an adversary."""
        return {} if self._adversary is None else {"adversary": self._adversary.state()}
