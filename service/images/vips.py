"""What the modules that use libvips share: one thread per image, pixels as an array, and errors in one line."""

from typing import Any

import numpy as np
import pyvips
from numpy.typing import NDArray


def single_threaded(image: object) -> pyvips.Image:
    """Return the image, with libvips restricted to the calling thread and without its cache.

    The codec threads run in parallel already, and no operation repeats between requests.
    """
    pyvips.concurrency_set(1)
    pyvips.cache_set_max(0)
    assert isinstance(image, pyvips.Image)
    return image


def pixels(image: pyvips.Image) -> NDArray[Any]:
    """Compute an image: (H, W, channels) in the format of its samples. Raises pyvips.Error."""
    array: NDArray[np.unsignedinteger] = image.numpy()
    return array if array.ndim == 3 else array[..., None]


def refuse_warnings(data: bytes) -> None:
    """Decode an image file and discard the pixels. Raises OSError for what libvips or its decoder warns of."""
    try:
        single_threaded(pyvips.Image.new_from_buffer(data, "", fail_on="warning")).avg()
    except pyvips.Error as error:
        raise OSError(reason(error)) from error


def reason(error: pyvips.Error) -> str:
    """Return the last line of an error of libvips; those before it belong to earlier operations."""
    return str(error).strip().splitlines()[-1]
