"""The chunks of a WebP, read without decoding. Source: the container specification of Google, 2024."""

from collections.abc import Iterator

_ALPHA_FLAG = 0x10
_FLAGS_AT = 20
_FRAME_HEAD_BYTES = 16


def chunks(data: bytes, start: int = 12, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """Yield (name, start, end) of the content of each chunk."""
    end = len(data) if end is None else min(end, len(data))
    while start + 8 <= end:
        size = int.from_bytes(data[start + 4 : start + 8], "little")
        yield data[start : start + 4], start + 8, min(start + 8 + size, end)
        start += 8 + size + size % 2


def with_true_alpha(data: bytes) -> bytes:
    """Set the flag for transparency if a frame is transparent: Pillow and libwebp rely on it."""
    if data[12:16] != b"VP8X" or len(data) <= _FLAGS_AT or data[_FLAGS_AT] & _ALPHA_FLAG or not _is_transparent(data):
        return data
    return data[:_FLAGS_AT] + bytes([data[_FLAGS_AT] | _ALPHA_FLAG]) + data[_FLAGS_AT + 1 :]


def is_lossless(data: bytes) -> bool:
    """Return whether every picture in the file is lossless."""
    kinds = [name for name, _, _ in _pictures(data)]
    return bool(kinds) and all(name == b"VP8L" for name in kinds)


def _is_transparent(data: bytes) -> bool:
    """Return whether a picture has alpha, or a part of the canvas is not covered by a picture."""
    if any(name == b"VP8L" and end - start >= 5 and data[start + 4] & 0x10 for name, start, end in _pictures(data)):
        return True
    names, frames = [], []
    for name, start, _ in chunks(data):
        names.append(name)
        if name == b"ANMF" and start + _FRAME_HEAD_BYTES <= len(data):
            frames.append(data[start : start + _FRAME_HEAD_BYTES])
    if b"ALPH" in names or any(name == b"ALPH" for frame in _frames(data) for name, _, _ in chunks(data, *frame)):
        return True
    if not frames:
        return False
    canvas = data[24:30]  # width and height minus one, three bytes each
    uncovered = frames[0][:6] != bytes(6) or frames[0][6:12] != canvas
    return uncovered or any(frame[15] & 1 for frame in frames[:-1])


def _frames(data: bytes) -> Iterator[tuple[int, int]]:
    for name, start, end in chunks(data):
        if name == b"ANMF":
            yield start + _FRAME_HEAD_BYTES, end


def _pictures(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the chunks with pixels: of a still picture, or of each frame."""
    for name, start, end in chunks(data):
        if name in {b"VP8 ", b"VP8L"}:
            yield name, start, end
    for frame in _frames(data):
        yield from (each for each in chunks(data, *frame) if each[0] in {b"VP8 ", b"VP8L"})
