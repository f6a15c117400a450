"""Resizing of integer arrays of any depth."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Number = TypeVar("Number", bound=np.integer)


def resized(
    values: NDArray[Number], height: int, width: int, kind: Image.Resampling = Image.Resampling.BICUBIC
) -> NDArray[Number]:
    """Resize with antialiasing, bicubic by default. Values are rounded and clipped to the range of the type.

    (H, W) or (H, W, C), any integers -> the same with `height` x `width`.
    """
    if values.shape[:2] == (height, width):
        return values
    if values.dtype == np.uint8 and (values.ndim == 2 or values.shape[2] == 3):
        return np.asarray(Image.fromarray(values).resize((width, height), kind))
    answer = np.empty((height, width, *values.shape[2:]), values.dtype)
    limits = np.iinfo(values.dtype)
    for channel in np.ndindex(*values.shape[2:]):  # one channel at a time: as floats, all would take much memory
        plane = Image.fromarray(values[..., *channel].astype(np.float32))
        floats = np.asarray(plane.resize((width, height), kind))
        answer[..., *channel] = np.rint(floats).clip(limits.min, limits.max)
    return answer


def repeated(values: NDArray[Number], height: int, width: int) -> NDArray[Number]:
    """Resize by the nearest value: (H, W) -> `height` x `width`."""
    rows = np.arange(height) * values.shape[0] // height
    columns = np.arange(width) * values.shape[1] // width
    answer: NDArray[Number] = values[rows[:, None], columns]
    return answer
