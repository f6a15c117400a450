"""Finds the trick by which a network with instance norm makes itself a blob.

The norm divides a whole channel by its deviation. A network can rule that deviation, and so the strength of all that is
in the picture, by one region of enormous values; the region shows as a smooth blob where nothing else is to be seen,
as in the first StyleGAN (Karras et al. 2020, section 2). The cure here: normalised values far outside of what pictures
give cost something during training.
"""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nets.layers import InstanceNorm
from nets.style_transfer import StyleTransferNet

_DEVIATIONS = 5.0


def excess(activations: Tensor) -> Tensor:
    """Mean squared excess of normalised activations over 5 deviations: (N, C, H, W) -> scalar."""
    # A batch of one: the same numbers, but the channels_last layout survives (nets.layers.InstanceNorm).
    normalise = (
        F.instance_norm
        if activations.shape[0] > 1
        else partial(F.batch_norm, running_mean=None, running_var=None, training=True)
    )
    return F.softshrink(normalise(activations), _DEVIATIONS).float().square().mean()


class SpikeWatch:
    """Listens to the instance norms of residual blocks and first upsampling, while `net` is in training mode."""

    def __init__(self, net: StyleTransferNet) -> None:
        self._device = next(net.parameters()).device
        self._heard: list[Tensor] = []
        for part in (net.residual, net.up1):
            for module in part.modules():
                if isinstance(module, InstanceNorm):
                    module.register_forward_hook(self._hear)

    def take(self, images: int) -> Tensor:
        """The sum of `excess` over all layers, averaged over the `images` painted since the last call."""
        total = sum(self._heard, start=torch.zeros((), device=self._device))
        self._heard = []
        return total / images

    def _hear(self, module: nn.Module, inputs: tuple[Tensor, ...], _output: Tensor) -> None:
        if module.training:
            self._heard.append(excess(inputs[0]) * inputs[0].shape[0])
