"""Messages between the service and its decoder processes, over a socket.

A message is a pickle with its large arrays and bytes as separate buffers, which are copied once. A file may have taken
over a decoder, so the unpickler accepts the types of decoder results only.
"""

import io
import pickle
import socket
import struct
import time
from collections.abc import Sequence
from typing import Any

_HEAD = struct.Struct("<QI")
_LENGTH = struct.Struct("<Q")
_MOST_BUFFERS = 10_000
_TAKEN = {
    ("builtins", "bytearray"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy._core.numeric", "_frombuffer"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy.core.numeric", "_frombuffer"),
    ("service.images.types", "Decoded"),
    ("service.images.types", "Frame"),
    ("service.images.types", "Header"),
    ("service.images.types", "DecodeOptions"),
    ("service.images.metadata", "Metadata"),
    ("service.images.profile", "Profile"),
}


class MessageError(Exception):
    """The connection is closed, or a message is malformed or contains a forbidden type."""


def send(to: socket.socket, message: object, data: bytes = b"", seconds: float | None = None) -> None:
    """Send a message and some bytes. Raises OSError, and TimeoutError after `seconds`."""
    buffers: list[pickle.PickleBuffer] = []
    packed = pickle.dumps(message, protocol=5, buffer_callback=buffers.append)
    parts = [memoryview(data), *(buffer.raw() for buffer in buffers)]
    to.settimeout(seconds)
    lengths = b"".join(_LENGTH.pack(part.nbytes) for part in parts)
    to.sendall(_HEAD.pack(len(packed), len(parts)) + lengths + packed)
    for part in parts:
        to.sendall(part)


def receive(source: socket.socket, most_bytes: int, seconds: float | None = None) -> tuple[Any, bytearray]:
    """Receive a message and the bytes beside it. Raises MessageError, and TimeoutError after `seconds`."""
    until = None if seconds is None else time.monotonic() + seconds
    packed_bytes, count = _HEAD.unpack(_read(source, _HEAD.size, until))
    if not 1 <= count <= _MOST_BUFFERS:
        raise MessageError(f"{count} buffers")
    lengths = [_LENGTH.unpack(_read(source, _LENGTH.size, until))[0] for _ in range(count)]
    if packed_bytes + sum(lengths) > most_bytes:
        raise MessageError(f"a message of {packed_bytes + sum(lengths)} bytes")
    packed = _read(source, packed_bytes, until)
    data, *buffers = [_read(source, length, until) for length in lengths]
    try:
        return _Unpickler(io.BytesIO(packed), buffers).load(), data
    except Exception as error:  # a forged pickle can raise anything
        raise MessageError(f"not a message: {error}") from error


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, buffers: Sequence[bytearray]) -> None:
        super().__init__(file, buffers=buffers)

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _TAKEN:
            raise MessageError(f"{module}.{name} is not permitted")
        return super().find_class(module, name)


def _read(source: socket.socket, count: int, until: float | None) -> bytearray:
    data = bytearray(count)
    view = memoryview(data)
    while view:
        if until is not None:
            source.settimeout(max(0.001, until - time.monotonic()))
        got = source.recv_into(view)
        if not got:
            raise MessageError("the connection is closed")
        view = view[got:]
    return data
