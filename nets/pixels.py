"""Converts between pictures and network tensors. The value range and the rounding are defined here only."""

import numpy as np
import torch
from torch import Tensor

from nets.picture import Picture as Picture  # noqa: PLC0414  # re-exported for modules that also convert
from nets.picture import PixelType as PixelType  # noqa: PLC0414

PIXEL_RANGE = "0..1"
"""The `pixel_range` of a checkpoint: RGB values divided by the largest value of their depth, nothing else."""

_DTYPES: tuple[PixelType, ...] = (np.dtype(np.uint8), np.dtype(np.uint16))


def to_network(pictures: list[Picture], device: torch.device | str = "cpu") -> Tensor:
    """Stack pictures of one size and depth: each uint8 or uint16 (H, W, 3) -> float32 (N, 3, H, W) in [0, 1].

    The tensor is channels_last. Raises ValueError if a picture is not (H, W, 3), or if sizes or depths differ.
    """
    return to_unit_range(upload(pictures, device))


def upload(pictures: list[Picture], device: torch.device | str = "cpu") -> Tensor:
    """Copy pictures of one size and depth to a device: each (H, W, 3) -> (N, H, W, 3), uint8 or uint16 as before.

    The copy to a GPU goes through pinned memory and moves 8 or 16 bits per value instead of 32. Raises ValueError like
    `to_network`.
    """
    for picture in pictures:
        if picture.dtype not in _DTYPES or picture.ndim != 3 or picture.shape[2] != 3:
            raise ValueError(f"expected uint8 or uint16 (H, W, 3), got {picture.dtype} {picture.shape}")
        if picture.dtype != pictures[0].dtype:
            raise ValueError(f"expected one depth, got {pictures[0].dtype} and {picture.dtype}")
    only = pictures[0]
    shareable = len(pictures) == 1 and only.flags.c_contiguous and only.flags.writeable  # torch needs no copy of it
    # not only[None]: numpy gives that axis a stride of 0, and torch would not recognise channels_last
    stacked = torch.from_numpy(only).unsqueeze(0) if shareable else torch.from_numpy(np.stack(pictures))
    if torch.device(device).type == "cuda":
        return _copy_on_own_stream(stacked.pin_memory(), torch.device(device))
    return stacked.to(device)


def _copy_on_own_stream(pinned: Tensor, device: torch.device) -> Tensor:
    """Copy to a GPU on a separate stream, so that the copy does not wait for earlier kernels. Not tested on a GPU."""
    current, separate = torch.cuda.current_stream(device), torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    with torch.cuda.stream(separate):
        moved = pinned.to(device, non_blocking=True)
    current.wait_stream(separate)
    moved.record_stream(current)
    return moved


def to_unit_range(pixels: Tensor) -> Tensor:
    """Scale to [0, 1]: uint8 or uint16 (N, H, W, 3) -> float32 (N, 3, H, W), channels_last."""
    return pixels.permute(0, 3, 1, 2).float().div_(float(torch.iinfo(pixels.dtype).max))


def from_network(batch: Tensor, dtype: PixelType = _DTYPES[0]) -> list[Picture]:
    """Convert the output of a network: float (N, 3, H, W) -> N pictures (H, W, 3) of `dtype`.

    Values are clamped to [0, 1] and rounded to nearest. dtype: numpy's uint8 or uint16. Raises ValueError if a value is
    NaN or infinite.
    """
    if not bool(torch.isfinite(batch).all()):
        raise ValueError("the network's output holds values that are not finite")
    most, target = (255.0, torch.uint8) if dtype == np.uint8 else (65535.0, torch.uint16)
    levels = batch.detach().float().clamp(0.0, 1.0).mul(most).round_().to(target)
    array: Picture = levels.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return list(array)
