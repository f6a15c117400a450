"""A penalty on extreme activations, which appear as smooth blobs in the output.

Instance norm divides a channel by its standard deviation. A network can control that deviation, and so the contrast of
the whole image, with one region of extreme values. The region becomes a smooth blob, as in the first StyleGAN (Karras
et al. 2020, section 2). The penalty applies to normalised values beyond the range of real images.
"""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nets.layers import InstanceNorm
from nets.style_transfer import StyleTransferNet

_DEVIATIONS = 5.0


def excess(activations: Tensor) -> Tensor:
    """Return the mean squared excess of normalised activations over 5 deviations: (N, C, H, W) -> scalar."""
    # As a batch of one: the same numbers, and the channels_last layout is kept (nets.layers.InstanceNorm).
    normalise = (
        F.instance_norm
        if activations.shape[0] > 1
        else partial(F.batch_norm, running_mean=None, running_var=None, training=True)
    )
    return F.softshrink(normalise(activations), _DEVIATIONS).float().square().mean()


class SpikeWatch:
    """Records the instance norms of residual blocks and of the first upsampling while `net` is in training mode."""

    def __init__(self, net: StyleTransferNet) -> None:
        self._device = next(net.parameters()).device
        self._heard: list[Tensor] = []
        for part in (net.residual, net.up1):
            for module in part.modules():
                if isinstance(module, InstanceNorm):
                    module.register_forward_hook(self._hear)

    def take(self, images: int) -> Tensor:
        """Return the sum of `excess` over all layers since the last call, averaged over `images`."""
        total = sum(self._heard, start=torch.zeros((), device=self._device))
        self._heard = []
        return total / images

    def _hear(self, module: nn.Module, inputs: tuple[Tensor, ...], _output: Tensor) -> None:
        if module.training:
            self._heard.append(excess(inputs[0]) * inputs[0].shape[0])
