"""What glibc's allocator is told."""

import os
import subprocess
import sys

import pytest

PROBE = """
import ctypes, threading
from service.memory import few_arenas
few_arenas()
together = threading.Barrier(8)
def use():
    kept = bytearray(5000)
    together.wait()
threads = [threading.Thread(target=use) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
out = ctypes.c_void_p(libc.fopen(b"/dev/stdout", b"w"))
libc.malloc_info(0, out)
libc.fclose(out)
"""


@pytest.mark.skipif(
    not hasattr(os, "confstr") or "glibc" not in os.confstr("CS_GNU_LIBC_VERSION"), reason="needs glibc"
)
@pytest.mark.parametrize(("given", "least", "most"), [({}, 1, 2), ({"MALLOC_ARENA_MAX": "6"}, 3, 6)])
def test_threads_share_two_arenas_unless_the_environment_says_otherwise(given, least, most):
    environment = {key: value for key, value in os.environ.items() if key != "MALLOC_ARENA_MAX"} | given
    told = subprocess.run([sys.executable, "-c", PROBE], env=environment, capture_output=True, text=True, check=True)
    assert least <= told.stdout.count("<heap nr=") <= most
