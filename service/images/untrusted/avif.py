"""The boxes of an AVIF file, as far as they tell the size of its pictures.

The container states a size, and so does every coded picture. libavif decodes a picture of any size and scales it to
the size of the container. This module therefore reads the sequence headers of AV1 (its specification, 5.5.1).
"""

import struct
from collections.abc import Iterator

_CONTAINERS = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl"})
_MOST_UNITS = 1000
_SEQUENCE_HEADER = 1


def bits(data: bytes) -> int:
    """Return the bits of a sample, from the first codec configuration."""
    at = data.find(b"av1C", 0, 2**16)
    if at < 0 or at + 7 > len(data):
        return 8
    flags = data[at + 6]
    return 8 if not flags & 0x40 else 12 if flags & 0x20 else 10


def coded_pixels(data: bytes) -> int:
    """Return the pixels of the largest coded picture; 0 if there is none, which decoders refuse.

    Raises ValueError if the items name far more bytes than the file has.
    """
    try:
        return max((size for coded in _coded(data) for size in _sizes(coded)), default=0)
    except (struct.error, IndexError):  # boxes or headers end early
        return 0


def _coded(data: bytes) -> Iterator[memoryview]:
    """Yield the data of every item, and of every chunk of a track up to the end of the file."""
    for name, start, end in _boxes(data, 0, len(data)):
        if name == b"meta":
            inner = {kind: (a, b) for kind, a, b in _boxes(data, start + 4, end)}
            if b"iloc" in inner:
                yield from _items(data, inner[b"iloc"][0], inner.get(b"idat", (0, 0))[0])
        if name in {b"stco", b"co64"}:
            form = ">I" if name == b"stco" else ">Q"
            (count,) = struct.unpack_from(">I", data, start + 4)
            for index in range(min(count, _MOST_UNITS)):
                yield memoryview(data)[struct.unpack_from(form, data, start + 8 + index * struct.calcsize(form))[0] :]


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield (name, start, end) of the content of each box, also inside the containers of tracks."""
    while start + 8 <= end:
        size, name = struct.unpack_from(">I4s", data, start)
        head = 8
        if size == 1:
            (size,), head = struct.unpack_from(">Q", data, start + 8), 16
        stop = min(end, start + size) if size else end
        if stop < start + head:
            return
        yield name, start + head, stop
        if name in _CONTAINERS:
            yield from _boxes(data, start + head, stop)
        start = stop


def _items(data: bytes, at: int, inner_data: int) -> Iterator[memoryview]:
    """Yield the data of each item of a location box."""
    version, sizes = data[at], data[at + 4] << 8 | data[at + 5]
    offset_size, length_size, base_size, index_size = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    wide = 4 if version == 2 else 2
    reader, view, named = _Bytes(data, at + 6), memoryview(data), 0
    for _ in range(reader.number(wide)):
        reader.number(wide)
        within = reader.number(2) & 15 if version else 0
        reader.number(2)
        base = reader.number(base_size) + (inner_data if within == 1 else 0)
        parts = []
        for _ in range(reader.number(2)):
            reader.number(index_size if version else 0)
            start, length = base + reader.number(offset_size), reader.number(length_size)
            parts.append(view[start : start + length] if length else view[start:])
            named += len(parts[-1])
            if named > 2 * len(data) + 1024:
                raise ValueError("its items name more bytes than it has")
        yield parts[0] if len(parts) == 1 else memoryview(b"".join(parts))


def _sizes(coded: memoryview) -> Iterator[int]:
    """Yield the pixels by each sequence header of a stream."""
    at = 0
    for _ in range(_MOST_UNITS):
        if at >= len(coded) or coded[at] & 0x80:
            return
        head, at = coded[at], at + 1 + (coded[at] >> 2 & 1)
        size, shift = len(coded) - at, 0
        if head & 2:
            size = 0
            while True:
                byte, at = coded[at], at + 1
                size |= (byte & 127) << shift
                shift += 7
                if byte < 128 or shift > 56:
                    break
        if head >> 3 & 15 == _SEQUENCE_HEADER:
            yield _frame_pixels(_Bits(bytes(coded[at : at + min(size, 256)])))
        at += size


def _frame_pixels(header: "_Bits") -> int:
    header.take(4)  # profile, still picture
    if header.take(1):  # a reduced header
        header.take(5)
    else:
        _skip_timing(header)
    across, down = header.take(4) + 1, header.take(4) + 1
    return (header.take(across) + 1) * (header.take(down) + 1)


def _skip_timing(header: "_Bits") -> None:
    """Skip timing, decoder model and operating points."""
    delay_bits = 0
    if header.take(1):
        header.take(64)
        if header.take(1):
            zeros = 0
            while not header.take(1):
                zeros += 1
            header.take(zeros)
        if header.take(1):
            delay_bits = header.take(5) + 1
            header.take(42)
    display_delay = header.take(1)
    for _ in range(header.take(5) + 1):
        header.take(12)
        if header.take(5) > 7:
            header.take(1)
        if delay_bits and header.take(1):
            header.take(2 * delay_bits + 1)
        if display_delay and header.take(1):
            header.take(4)


class _Bytes:
    """A reader of numbers of a given number of bytes."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at

    def number(self, size: int) -> int:
        if self._at + size > len(self._data):
            raise IndexError("the end")
        self._at += size
        return int.from_bytes(self._data[self._at - size : self._at], "big")


class _Bits:
    """A reader of numbers of a given number of bits."""

    def __init__(self, data: bytes) -> None:
        self._bits, self._left = int.from_bytes(data[:256], "big"), 8 * len(data[:256])

    def take(self, count: int) -> int:
        if count > self._left:
            raise IndexError("the end")
        self._left -= count
        return self._bits >> self._left & (1 << count) - 1
