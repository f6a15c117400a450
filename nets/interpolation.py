"""Averages the weights of networks (deep network interpolation, Wang et al. 2019).

This works for networks of one family: fine-tuned from one parent. Limits: docs/decisions/0004-one-family.md.
"""

from collections.abc import Sequence

import torch
from torch import nn

from nets.architecture import architecture_of
from nets.style_transfer import StyleTransferNet
from nets.style_trunk import StyleTrunkNet, interpolate_styles, trunk_parameters
from nets.super_resolution import SuperResolutionNet

Net = StyleTransferNet | StyleTrunkNet | SuperResolutionNet


def interpolate(networks: Sequence[Net], shares: Sequence[float]) -> nn.Module:
    """Return a new network, in eval mode, whose weights are the sums of `shares[i]` times those of `networks[i]`.

    Raises ValueError if the configs of the networks differ or the shares do not sum to 1.
    """
    first = networks[0]
    if len(networks) != len(shares) or abs(sum(shares) - 1.0) > 1e-6:
        raise ValueError(f"{len(networks)} networks need as many shares that sum to 1, not {list(shares)}")
    for other in networks[1:]:
        if other.config != first.config:
            raise ValueError(f"networks of one config can be interpolated, not {first.config} and {other.config}")
    if styles := _styles_of_one_trunk(networks):
        return interpolate_styles(styles, shares).eval()
    states = [network.state_dict() for network in networks]
    net = architecture_of(first).build(first.config)
    with torch.no_grad():
        for name, value in net.state_dict().items():
            if value.is_floating_point():
                weighted = [share * state[name].to(value) for share, state in zip(shares, states, strict=True)]
                value.copy_(torch.stack(weighted).sum(dim=0))
            else:  # the batch counter of a batch norm
                value.copy_(states[0][name])
    return net.eval()


def _styles_of_one_trunk(networks: Sequence[Net]) -> list[StyleTrunkNet]:
    """The networks, where all of them hold the same convolutions; else nothing."""
    styles = [network for network in networks if isinstance(network, StyleTrunkNet)]
    if len(styles) < len(networks):
        return []
    trunks = [[value.data_ptr() for value in trunk_parameters(style).values()] for style in styles]
    return styles if all(trunk == trunks[0] for trunk in trunks) else []
