"""Between pictures and network arrays: the only place that knows the value range and the rounding."""

import numpy as np
import torch
from torch import Tensor

from nets.picture import Picture as Picture  # noqa: PLC0414  # for who needs the conversions as well
from nets.picture import PixelType as PixelType  # noqa: PLC0414

PIXEL_RANGE = "0..1"
"""What a checkpoint's `pixel_range` says: RGB values are divided by the largest and nothing else is done to them."""

_DTYPES: tuple[PixelType, ...] = (np.dtype(np.uint8), np.dtype(np.uint16))


def to_network(pictures: list[Picture], device: torch.device | str = "cpu") -> Tensor:
    """Stack pictures of one size and depth: each uint8 or uint16 (H, W, 3) -> float32 (N, 3, H, W) in [0, 1].

    The tensor is channels_last. Raises ValueError where a picture is not (H, W, 3), or sizes or depths differ.
    """
    return scale(upload(pictures, device))


def upload(pictures: list[Picture], device: torch.device | str = "cpu") -> Tensor:
    """Put pictures of one size and depth on a device as they are: each (H, W, 3) -> (N, H, W, 3), uint8 or uint16.

    What travels has eight or sixteen bits, not thirty-two, and goes to a GPU from pinned memory. Raises ValueError as
    `to_network` does.
    """
    for picture in pictures:
        if picture.dtype not in _DTYPES or picture.ndim != 3 or picture.shape[2] != 3:
            raise ValueError(f"expected uint8 or uint16 (H, W, 3), got {picture.dtype} {picture.shape}")
        if picture.dtype != pictures[0].dtype:
            raise ValueError(f"expected one depth, got {pictures[0].dtype} and {picture.dtype}")
    only = pictures[0]
    alone = len(pictures) == 1 and only.flags.c_contiguous and only.flags.writeable  # what torch takes without a copy
    # Not only[None]: numpy gives that axis a stride of 0, with which torch does not know channels_last.
    stacked = torch.from_numpy(only).unsqueeze(0) if alone else torch.from_numpy(np.stack(pictures))
    if torch.device(device).type == "cuda":
        return _copied_beside(stacked.pin_memory(), torch.device(device))
    return stacked.to(device)


def _copied_beside(pinned: Tensor, device: torch.device) -> Tensor:
    """Copied on a stream of its own: it does not wait for the kernels before it. Has not run on a GPU yet."""
    current, beside = torch.cuda.current_stream(device), torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    with torch.cuda.stream(beside):
        moved = pinned.to(device, non_blocking=True)
    current.wait_stream(beside)
    moved.record_stream(current)
    return moved


def scale(pixels: Tensor) -> Tensor:
    """What a network takes: uint8 or uint16 (N, H, W, 3) -> float32 (N, 3, H, W) in [0, 1], channels_last."""
    return pixels.permute(0, 3, 1, 2).float().div_(float(torch.iinfo(pixels.dtype).max))


def from_network(batch: Tensor, dtype: PixelType = _DTYPES[0]) -> list[Picture]:
    """Split a batch: float (N, 3, H, W) -> N pictures (H, W, 3) of `dtype`, clamped to [0, 1] and rounded to nearest.

    dtype: numpy's uint8 or uint16. Raises ValueError where a value is not a number: a NaN has no colour.
    """
    if not bool(torch.isfinite(batch).all()):
        raise ValueError("the network's output holds values that are not finite")
    most, target = (255.0, torch.uint8) if dtype == np.uint8 else (65535.0, torch.uint16)
    scaled = batch.detach().float().clamp(0.0, 1.0).mul(most).round_().to(target)
    array: Picture = scaled.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return list(array)
