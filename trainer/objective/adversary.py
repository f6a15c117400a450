"""The adversary of an upscaler: a small U-Net that tells photographs from outputs, pixel by pixel (Wang et al. 2021).

A pixel loss is lowest for the mean of all textures that fit, which is smooth. The adversary rewards one of them. It
compares pixels in context, so it sees a weave at once.
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

_WIDTH = 24
_LEARNING_RATE = 2e-4
_SLOPE = 0.2


class UNetDiscriminator(nn.Module):
    """Three levels down and up again, with spectral norms: float (N, 3, H, W) in [0, 1] -> logits (N, 1, H, W).

    H and W are multiples of 8. The logit of a pixel is positive where the picture looks like a photograph.
    """

    def __init__(self, width: int = _WIDTH) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, width, 3, padding=1)
        self.down = nn.ModuleList(
            spectral_norm(nn.Conv2d(width << i, width << i + 1, 4, stride=2, padding=1, bias=False)) for i in range(3)
        )
        self.up = nn.ModuleList(
            spectral_norm(nn.Conv2d(width << i + 1, width << i, 3, padding=1, bias=False)) for i in (2, 1, 0)
        )
        self.last = spectral_norm(nn.Conv2d(width, width, 3, padding=1, bias=False))
        self.output = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        levels = [F.leaky_relu(self.head(2 * x - 1), _SLOPE)]
        for conv in self.down:
            levels.append(F.leaky_relu(conv(levels[-1]), _SLOPE))
        y = levels.pop()
        for conv in self.up:
            enlarged = F.interpolate(y, scale_factor=2.0, mode="bilinear", align_corners=False)
            y = F.leaky_relu(conv(enlarged), _SLOPE) + levels.pop()
        y = F.leaky_relu(self.last(y), _SLOPE)
        logits: Tensor = self.output(y)
        return logits.float()


class Adversary:
    """A discriminator in training. warm_up: iterations in which it learns, but is not part of the upscaler's loss."""

    def __init__(self, device: torch.device, warm_up: int) -> None:
        self._net = UNetDiscriminator().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._adam = torch.optim.Adam(self._net.parameters(), lr=_LEARNING_RATE, betas=(0.9, 0.99))
        self._warm_up, self._steps = warm_up, 0

    def loss(self, output: Tensor) -> Tensor:
        """Return the loss of the upscaler, which falls as the discriminator is deceived: a scalar; 0 in the warm-up."""
        if self._steps < self._warm_up:
            return output.new_zeros(())
        for parameter in self._net.parameters():
            parameter.requires_grad_(False)
        return F.softplus(-self._net(output)).mean()

    def learn(self, output: Tensor, truth: Tensor) -> Tensor:
        """Take one step towards telling both apart. Returns the loss, which is 2 log 2 for a guess."""
        for parameter in self._net.parameters():
            parameter.requires_grad_(True)
        self._adam.zero_grad(set_to_none=True)
        loss = F.softplus(-self._net(truth)).mean() + F.softplus(self._net(output.detach())).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        self._adam.step()
        self._steps += 1
        return loss.detach()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state()`."""
        self._net.load_state_dict(state["net"])
        self._adam.load_state_dict(state["adam"])
        self._steps = state["steps"]

    def state(self) -> dict[str, Any]:
        """Return everything that is needed to continue."""
        return {"net": self._net.state_dict(), "adam": self._adam.state_dict(), "steps": self._steps}
