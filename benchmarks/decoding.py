"""The cost of decoding in a process, compared with a thread. One image at a time.

python benchmarks/decoding.py
"""

import io
import re
import time
from pathlib import Path

import numpy as np
from PIL import Image

from service.images.sandbox.pool import Decoder, ProcessDecoder, ThreadDecoder
from service.images.types import DecodeOptions
from service.settings import Settings

_TURNS = 9


def main() -> None:
    """Print, for each image, milliseconds in a thread, in a process, and the difference per megapixel."""
    settings = Settings(codec_threads=1)
    apart = ProcessDecoder(settings)
    apart.start()
    try:
        print("| picture | megapixels | thread, ms | process, ms | more, ms per megapixel |\n|---|---|---|---|---|")
        for side in (256, 1024, 3500):
            for kind in ("jpeg", "png"):
                data, megapixels = _picture(side, kind), side * side / 1e6
                there, here = _milliseconds(ThreadDecoder(), data, settings), _milliseconds(apart, data, settings)
                more = (here - there) / megapixels
                print(f"| {kind.upper()}, {side} x {side} | {megapixels:.2f} | {there:.1f} | {here:.1f} | {more:.1f} |")
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            if b"service.images.sandbox.child" in path.read_bytes():
                status = (path.parent / "status").read_text()
                found = {name: int(re.search(rf"{name}:\s+(\d+)", status)[1]) // 1024 for name in ("VmHWM", "VmPeak")}
                print(f"process {path.parent.name}: MiB {found}")
    finally:
        apart.close()


def _picture(side: int, kind: str) -> bytes:
    y, x = np.mgrid[0:side, 0:side]
    pixels = np.stack([255 * x / side, 255 * y / side, (x * y) % 256], -1).astype(np.uint8)
    pixels += np.random.default_rng(0).integers(0, 8, pixels.shape, np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind.upper())
    return buffer.getvalue()


def _milliseconds(decoder: Decoder, data: bytes, settings: Settings) -> float:
    """Return the median time of reading the header and decoding."""
    spent = []
    for _ in range(_TURNS):
        start = time.perf_counter()
        header = decoder.measure(data, settings.max_pixels, settings.max_frames)
        decoder.decode(data, header, DecodeOptions("png"))
        spent.append((time.perf_counter() - start) * 1000)
    return float(np.median(spent))


if __name__ == "__main__":
    main()
