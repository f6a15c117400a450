"""Cost and quality of encoders and decoders. Prints one table, and writes JSON to out/.

Two images of 2 megapixels: a photograph, and the same in a style, which has edges everywhere. For each format and
setting: milliseconds per megapixel (the fastest of several), bits per pixel, and the PSNR in dB of lossy ones. The
settings of the service are marked. simplejpeg is compared if it is installed.
"""

import argparse
import io
import json
import time
from collections.abc import Callable, Iterator
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
import pyvips
import torch
from numpy.typing import NDArray
from PIL import Image

from nets.checkpoint import load
from nets.pixels import from_network, to_network
from service.images.encode import EncodeOptions, encode
from service.images.formats import Format
from service.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
SIZE = (1632, 1224)
MEGAPIXELS = SIZE[0] * SIZE[1] / 1e6

Pixels = NDArray[np.uint8]
Encoder = Callable[[Pixels], bytes]


def pillow(kind: str, **options: Any) -> Encoder:
    """Return one of Pillow's encoders."""

    def run(pixels: Pixels) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, kind, **options)
        return buffer.getvalue()

    return run


def vips(kind: str, **options: Any) -> Encoder:
    """Return one of libvips' encoders, with one thread."""
    pyvips.concurrency_set(1)
    pyvips.cache_set_max(0)

    def run(pixels: Pixels) -> bytes:
        data: bytes = getattr(pyvips.Image.new_from_array(pixels), f"{kind}save_buffer")(**options)
        return data

    return run


def ours(kind: Format, quality: int | None) -> Encoder:
    """Return the encoder of the service."""
    return lambda pixels: encode([pixels], kind, EncodeOptions(quality))


def encoders() -> Iterator[tuple[str, str, Encoder]]:
    """Yield (format, description, encoder)."""
    settings = Settings()
    for kind, quality in (
        ("jpeg", settings.jpeg_quality),
        ("png", None),
        ("webp", settings.webp_quality),
        ("avif", settings.avif_quality),
    ):
        yield kind, "the service", ours(kind, quality)  # type: ignore[arg-type]  # one of ours
    for quality in (75, 90, 95):
        yield "jpeg", f"Pillow, quality {quality}", pillow("JPEG", quality=quality)
    yield "jpeg", "Pillow, quality 90, 4:4:4", pillow("JPEG", quality=90, subsampling="4:4:4")
    yield "jpeg", "Pillow, quality 90, optimised tables", pillow("JPEG", quality=90, optimize=True)
    yield "jpeg", "libvips, quality 90", vips("jpeg", Q=90)
    if util.find_spec("simplejpeg"):
        import simplejpeg  # noqa: PLC0415

        yield "jpeg", "simplejpeg, quality 90", lambda pixels: simplejpeg.encode_jpeg(pixels, 90, "RGB", "420")
    for level in (0, 1, 3, 6, 9):
        yield "png", f"Pillow, level {level}", pillow("PNG", compress_level=level)
    for level in (1, 2, 3):
        for name in ("none", "up", "avg", "paeth", "all"):
            yield "png", f"libvips, level {level}, filter {name}", vips("png", compression=level, filter=name)
    for method in range(0, 7, 2):
        yield "webp", f"Pillow, quality 85, method {method}", pillow("WEBP", quality=85, method=method)
    yield "webp", "Pillow, quality 85, method 1", pillow("WEBP", quality=85, method=1)
    yield "webp", "Pillow, lossless, method 0", pillow("WEBP", lossless=True, quality=0, method=0)
    for speed in (6, 8, 9, 10):
        one = pillow("AVIF", quality=70, speed=speed, max_threads=1)
        yield "avif", f"Pillow, quality 70, speed {speed}, 1 thread", one
    yield "avif", "Pillow, quality 70, speed 9, 4:4:4", pillow("AVIF", quality=70, speed=9, subsampling="4:4:4")
    yield "avif", "Pillow, quality 70, speed 9, all threads", pillow("AVIF", quality=70, speed=9)


def decoders(pixels: Pixels) -> Iterator[tuple[str, str, bytes, Callable[[bytes], Any]]]:
    """Yield (format, description, file, decoder)."""

    def by_pillow(data: bytes) -> Pixels:
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))

    for kind, quality in (("jpeg", 90), ("png", None), ("webp", 85), ("avif", 70)):
        yield kind, "Pillow", ours(kind, quality)(pixels), by_pillow  # type: ignore[arg-type]  # one of ours
    yield "jpeg", "libvips", ours("jpeg", 90)(pixels), lambda data: pyvips.Image.new_from_buffer(data, "").numpy()
    if util.find_spec("simplejpeg"):
        import simplejpeg  # noqa: PLC0415

        yield "jpeg", "simplejpeg", ours("jpeg", 90)(pixels), simplejpeg.decode_jpeg


def seconds(work: Callable[[], Any], times: int) -> float:
    """Return the fastest time of several runs."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return min(taken)


def psnr(data: bytes, pixels: Pixels) -> float | None:
    """Return the PSNR in dB between a file and its source; None if it is lossless."""
    seen = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(float)
    error = float(np.mean((seen - pixels) ** 2))
    return round(10 * np.log10(255**2 / error), 2) if error else None


@torch.inference_mode()
def pictures() -> dict[str, Pixels]:
    """Return a photograph, and the same in the style `mosaic`."""
    photograph = Image.open(ROOT / "docs/images/photographs/coffee.jpg").convert("RGB").resize(SIZE)
    pixels = np.array(photograph)
    net = load(ROOT / "checkpoints/stylize/mosaic.safetensors").net.eval()
    return {"photograph": pixels, "painted": from_network(net(to_network([pixels])))[0].astype(np.uint8)}


def main() -> None:
    """Measure everything on both images."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5, help="how often each is measured")
    times = parser.parse_args().times
    rows = []
    print(f"{'':6}{'':40}" + "".join(f"{name:>34}" for name in ("photograph", "painted")))
    print(f"{'':46}" + 2 * f"{'ms/MP':>12}{'bits/px':>11}{'dB':>11}")
    both = pictures()
    for kind, what, encoder in encoders():
        line = f"{kind:6}{what:40}"
        for name, pixels in both.items():
            data = encoder(pixels)
            spent = 1000 * seconds(lambda run=encoder, of=pixels: run(of), times) / MEGAPIXELS  # type: ignore[misc]
            size, loss = 8 * len(data) / MEGAPIXELS / 1e6, psnr(data, pixels)
            line += f"{spent:12.1f}{size:11.2f}{loss or 'exact':>11}"
            rows.append(
                {
                    "encode": kind,
                    "what": what,
                    "picture": name,
                    "ms_per_megapixel": round(spent, 2),
                    "bits_per_pixel": round(size, 3),
                    "psnr_db": loss,
                }
            )
        print(line, flush=True)
    print()
    for kind, what, data, decoder in decoders(both["photograph"]):
        spent = 1000 * seconds(lambda run=decoder, of=data: run(of), times) / MEGAPIXELS  # type: ignore[misc]
        print(f"{kind:6}{'decode, ' + what:40}{spent:12.1f}")
        rows.append({"decode": kind, "what": what, "picture": "photograph", "ms_per_megapixel": round(spent, 2)})
    out = ROOT / "out"
    out.mkdir(exist_ok=True)
    (out / "encoding.json").write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
