"""Classifies the errors of a device: out of memory, fatal, or the fault of one picture."""

import torch

_OUT_OF_MEMORY_MESSAGES = ("can't allocate memory", "not enough memory", "out of memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether the device had not enough memory. A smaller pass may succeed."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    message = str(error).lower()
    return isinstance(error, RuntimeError) and any(part in message for part in _OUT_OF_MEMORY_MESSAGES)


def is_fatal(error: BaseException) -> bool:
    """Return whether the device is lost. A CUDA context does not recover from an error."""
    if is_out_of_memory(error):
        return False
    return isinstance(error, torch.AcceleratorError) or (isinstance(error, RuntimeError) and "CUDA error" in str(error))
