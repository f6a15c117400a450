"""Resizing of arrays of any depth: what goes around the network's answer must get its size."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Number = TypeVar("Number", bound=np.integer)


def resized(
    values: NDArray[Number], height: int, width: int, kind: Image.Resampling = Image.Resampling.BICUBIC
) -> NDArray[Number]:
    """Antialiased, bicubic by default, rounded, and clipped to the type's range.

    (H, W) or (H, W, C), any integers -> the same of `height` x `width`.
    """
    if values.shape[:2] == (height, width):
        return values
    if values.dtype == np.uint8 and (values.ndim == 2 or values.shape[2] == 3):
        return np.asarray(Image.fromarray(values).resize((width, height), kind))
    answer = np.empty((height, width, *values.shape[2:]), values.dtype)
    limits = np.iinfo(values.dtype)
    for channel in np.ndindex(*values.shape[2:]):  # one at a time: as floats, all would be large
        plane = Image.fromarray(values[..., *channel].astype(np.float32))
        floats = np.asarray(plane.resize((width, height), kind))
        answer[..., *channel] = np.rint(floats).clip(limits.min, limits.max)
    return answer


def repeated(values: NDArray[Number], height: int, width: int) -> NDArray[Number]:
    """The nearest value: (H, W) -> `height` x `width`."""
    rows = np.arange(height) * values.shape[0] // height
    columns = np.arange(width) * values.shape[1] // width
    answer: NDArray[Number] = values[rows[:, None], columns]
    return answer
