"""Memory that is free but not given back: after large pictures glibc keeps hundreds of megabytes in its arenas."""

import ctypes
import os
import sys

_M_ARENA_MAX = -8  # malloc.h
_ARENAS = 2


def few_arenas() -> None:
    """Let threads share two arenas of glibc's, unless MALLOC_ARENA_MAX says otherwise. Called before there are threads.

    Each thread would have one of its own, up to eight for a CPU, with holes of its own: memory at rest went up and down
    by 35 MB from minute to minute.
    """
    if sys.platform == "linux" and "MALLOC_ARENA_MAX" not in os.environ:
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(_M_ARENA_MAX, _ARENAS)


def give_back() -> None:
    """Hand free memory back to the operating system. Takes milliseconds; the next large picture pays page faults."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
        if trim is not None:
            trim(0)
