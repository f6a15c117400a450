"""Memory that is free but not given back: after large pictures glibc keeps hundreds of megabytes in its arenas."""

import ctypes
import sys


def give_back() -> None:
    """Hand free memory back to the operating system. Takes milliseconds; the next large picture pays page faults."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
        if trim is not None:
            trim(0)
