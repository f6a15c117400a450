"""Between 8-bit pictures and network arrays: the only place that knows the value range and the rounding."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

PIXEL_RANGE = "0..1"
"""What a checkpoint's `pixel_range` says: RGB values are divided by 255 and nothing else is done to them."""

Picture = NDArray[np.uint8]
"""uint8 (H, W, 3), RGB, sRGB transfer curve unless a profile says otherwise."""


def to_network(pictures: list[Picture], device: torch.device | str = "cpu") -> Tensor:
    """Stack pictures of one size: each uint8 (H, W, 3) in 0..255 -> float32 (N, 3, H, W) in [0, 1], channels_last.

    Raises ValueError where a picture is not uint8 (H, W, 3) or the sizes differ.
    """
    return scale(upload(pictures, device))


def upload(pictures: list[Picture], device: torch.device | str = "cpu") -> Tensor:
    """Put pictures of one size on a device as they are: each uint8 (H, W, 3) -> uint8 (N, H, W, 3).

    Eight bits travel, not thirty-two, and to a GPU from pinned memory. Raises ValueError as `to_network` does.
    """
    for picture in pictures:
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            raise ValueError(f"expected uint8 (H, W, 3), got {picture.dtype} {picture.shape}")
    only = pictures[0]
    alone = len(pictures) == 1 and only.flags.c_contiguous and only.flags.writeable  # what torch takes without a copy
    stacked = torch.from_numpy(only[None] if alone else np.stack(pictures))
    if torch.device(device).type == "cuda":
        return stacked.pin_memory().to(device, non_blocking=True)
    return stacked.to(device)


def scale(pixels: Tensor) -> Tensor:
    """What a network takes: uint8 (N, H, W, 3) in 0..255 -> float32 (N, 3, H, W) in [0, 1], channels_last."""
    return pixels.permute(0, 3, 1, 2).float().div_(255.0)


def from_network(batch: Tensor) -> list[Picture]:
    """Split a batch: float (N, 3, H, W) -> N pictures, uint8 (H, W, 3), clamped to [0, 1] and rounded to nearest.

    Raises ValueError where a value is not a number: a NaN has no colour.
    """
    if not bool(torch.isfinite(batch).all()):
        raise ValueError("the network's output holds values that are not finite")
    scaled = batch.detach().float().clamp(0.0, 1.0).mul(255.0).round_().to(torch.uint8)
    array: Picture = scaled.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return list(array)
