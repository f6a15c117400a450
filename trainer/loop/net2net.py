"""A network of twice the width with the same outputs (Net2Net, Chen et al. 2016), as a start for a `-full` network.

Every hidden channel is doubled. Later layers read each copy with about half the weight. The halves are uneven, so that
gradients can tell the copies apart.
"""

from dataclasses import replace

import torch
from torch import Tensor

from nets.style_transfer import StyleTransferNet

_UNEVENNESS = 0.5


def widen(net: StyleTransferNet, seed: int = 0) -> StyleTransferNet:
    """Return a network of twice the width with the same outputs. Raises ValueError for transposed convolutions."""
    if net.config.upsampling == "transposed":
        raise ValueError("networks with transposed convolutions cannot be widened")
    wide = StyleTransferNet(replace(net.config, width=2 * net.config.width))
    random = torch.Generator().manual_seed(seed)
    narrow = net.state_dict()
    shapes = {name: value.shape for name, value in wide.state_dict().items()}
    wide.load_state_dict({name: _widened(value, shapes[name], random) for name, value in narrow.items()})
    return wide


def _widened(value: Tensor, shape: torch.Size, random: torch.Generator) -> Tensor:
    if value.ndim and shape[0] == 2 * value.shape[0]:
        value = value.repeat_interleave(2, dim=0)
    if value.ndim > 1 and shape[1] == 2 * value.shape[1]:
        uneven = _UNEVENNESS * (torch.rand(value.shape[:2], generator=random) - 0.5)[:, :, None, None]
        value = torch.stack([value * (0.5 + uneven), value * (0.5 - uneven)], dim=2).flatten(1, 2)
    return value
