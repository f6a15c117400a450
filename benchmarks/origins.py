"""How often `source=auto` is wrong, on 100 files whose answer is known:

    python benchmarks/origins.py [--results docs/results.md]

IMPASTO_BENCHMARKS names a folder with set5 and set14. They and six photographs of scikit-image are reduced, so that no
trace of an earlier file is left, and written with loss (photo) or without (clean). The other clean files are drawings.
The thresholds of service.images.origin were chosen on other photographs: BSDS400 and wallpapers.
"""

import argparse
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image, ImageDraw, ImageFont

from service.images.decode import decode, measure
from service.images.types import DecodeOptions, Origin
from trainer.evaluation.sections import write_section

ROOT = Path(__file__).resolve().parent.parent
_BUNDLED = ("astronaut", "camera", "chelsea", "coffee", "coins", "grass")
_REDUCED = 0.61
_MOST_PIXELS, _MOST_FRAMES = 10**8, 10


@dataclass(frozen=True)
class File:
    """A file and the right answer."""

    what: str
    data: bytes
    answer: Origin


def photographs() -> list[Image.Image]:
    """Return 25 photographs without a grid. Raises SystemExit if there are no test sets."""
    root = os.environ.get("IMPASTO_BENCHMARKS")
    if not root:
        raise SystemExit("IMPASTO_BENCHMARKS is not set: expected a folder with set5 and set14")
    files = [path for name in ("set5", "set14") for path in sorted((Path(root) / name).glob("*.png"))]
    images = [Image.open(path).convert("RGB") for path in files]
    images += [Image.fromarray(getattr(skimage.data, name)()).convert("RGB") for name in _BUNDLED]
    return [_resized(image, _REDUCED) for image in images]


def with_loss(image: Image.Image, number: int) -> Iterator[File]:
    """Yield two files of a photograph that lost something, of other kinds for each number."""
    half = through_jpeg(image, 75)
    kinds = [
        *((f"JPEG, quality {quality}", _file(image, "JPEG", quality=quality)) for quality in (40, 60, 80, 90, 95)),
        ("PNG of a JPEG of quality 60", _file(through_jpeg(image, 60), "PNG")),
        ("PNG of a JPEG of quality 85", _file(through_jpeg(image, 85), "PNG")),
        ("PNG, a part of a JPEG of quality 75", _file(half.crop((5, 3, half.width, half.height)), "PNG")),
        ("JPEG of quality 98 of a JPEG of quality 60", _file(through_jpeg(image, 60), "JPEG", quality=98)),
        ("WebP, quality 75", _file(image, "WEBP", quality=75)),
        ("AVIF, quality 60", _file(image, "AVIF", quality=60)),
        ("TIFF of a JPEG of quality 75", _file(half, "TIFF")),
    ]
    for each in (2 * number, 2 * number + 1):
        what, data = kinds[each % len(kinds)]
        yield File(what, data, "photo")


def without_loss(image: Image.Image, number: int) -> File:
    """Return a file of a photograph that lost nothing that is seen."""
    kinds = [
        ("PNG", _file(image, "PNG")),
        ("WebP without loss", _file(image, "WEBP", lossless=True)),
        ("PNG of a reduced JPEG", _file(_resized(through_jpeg(image, 80), _REDUCED), "PNG")),
        ("JPEG, quality 99", _file(image, "JPEG", quality=99)),
        ("BMP", _file(image, "BMP")),
        ("PNG, enlarged", _file(_resized(image, 1.7), "PNG")),
    ]
    what, data = kinds[number % len(kinds)]
    return File(what, data, "clean")


def drawings() -> Iterator[File]:
    """Yield 25 drawings: windows with text, charts, pixel art, gradients, dithered pictures, lines."""
    random = np.random.default_rng(0)
    for number in range(9):
        yield File("PNG of a window with text", _file(_window(random, number), "PNG"), "clean")
    for times in (1, 2, 3, 4, 8):
        art = random.integers(0, 6, (40, 48)).astype(np.uint8).repeat(times, 0).repeat(times, 1)
        yield File(f"PNG of pixel art, {times} times", _file(Image.fromarray(art * 50), "PNG"), "clean")
    for number in range(5):
        yield File("PNG of a chart", _file(_chart(random, 16 + 4 * number), "PNG"), "clean")
    for angle in (0, 20, 45):
        y, x = np.mgrid[:300, :400]
        ramp = np.cos(np.radians(angle)) * x + np.sin(np.radians(angle)) * y
        yield File("PNG of a gradient", _file(Image.fromarray((ramp / 2).astype(np.uint8)), "PNG"), "clean")
    for name in ("coffee", "chelsea", "astronaut"):
        dithered = _resized(Image.fromarray(getattr(skimage.data, name)()), _REDUCED).quantize(64)
        yield File("GIF, dithered", _file(dithered, "GIF"), "clean")


def through_jpeg(image: Image.Image, quality: int) -> Image.Image:
    """Return an image as it comes back from a JPEG file."""
    return Image.open(io.BytesIO(_file(image, "JPEG", quality=quality))).convert("RGB")


def decided(data: bytes) -> Origin:
    """Return what the service decides."""
    header = measure(data, _MOST_PIXELS, _MOST_FRAMES)
    return decode(data, header, DecodeOptions("png", enlarging=True, judging=True)).origin


def document(files: list[File], wrong: list[File]) -> str:
    """Return the section for docs/results.md."""
    photos = sum(each.answer == "photo" for each in files)
    head = (
        "## What `source=auto` decides\n\n`IMPASTO_BENCHMARKS=DIR python benchmarks/origins.py`. "
        f"{photos} files with traces of compression and {len(files) - photos} clean ones, made from photographs "
        f"on which no threshold was chosen. Wrong: **{len(wrong)} of {len(files)}**"
    )
    return (
        head
        + (": " + "; ".join(f"{each.what}, taken for {_other(each.answer)}" for each in wrong) if wrong else "")
        + "."
    )


def main() -> None:
    """Build the files, ask for each, and report the wrong answers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=ROOT / "docs" / "results.md")
    options = parser.parse_args()
    images = photographs()
    files = [file for number, image in enumerate(images) for file in with_loss(image, number)]
    files += [without_loss(image, number) for number, image in enumerate(images)]
    files += drawings()
    wrong = [file for file in files if decided(file.data) != file.answer]
    for file in wrong:
        print(f"wrong: {file.what}, taken for {_other(file.answer)}")
    print(f"{len(wrong)} of {len(files)} wrong")
    write_section(options.results, "benchmarks/origins.py", document(files, wrong))


def _other(answer: Origin) -> Origin:
    return "clean" if answer == "photo" else "photo"


def _file(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _resized(image: Image.Image, share: float) -> Image.Image:
    size = round(image.width * share), round(image.height * share)
    return image.convert("RGB").resize(size, Image.Resampling.LANCZOS)


def _window(random: np.random.Generator, number: int) -> Image.Image:
    """Draw lines of text, buttons and a bar, as a program shows them."""
    paper, ink = ((250, 30), (32, 220), (255, 0))[number % 3]
    image = Image.new("RGB", (480, 320), (paper, paper, paper))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 480, 28), fill=(60, 90, 160))
    font = ImageFont.load_default(10 + number)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz     ,."))
    for top in range(36, 310, 14 + number):
        draw.text((8, top), "".join(random.choice(letters, 70)), fill=(ink, ink, ink), font=font)
    for left in (300, 380):
        draw.rounded_rectangle((left, 280, left + 70, 308), 6, fill=(200, 210, 230), outline=(90, 90, 90))
    return image


def _chart(random: np.random.Generator, spacing_px: int) -> Image.Image:
    """Draw bars and a line over a grid."""
    image = Image.new("RGB", (400, 300), "white")
    draw = ImageDraw.Draw(image)
    for at in range(0, 400, spacing_px):
        draw.line((at, 0, at, 300), fill=(225, 225, 225))
        draw.line((0, at, 400, at), fill=(225, 225, 225))
    values = random.integers(40, 280, 400 // spacing_px)
    for number, value in enumerate(values):
        left = number * spacing_px
        draw.rectangle((left + 2, 300 - int(value), left + spacing_px - 3, 300), fill=(70, 130, 180))
    points = [(number * spacing_px, 300 - int(value)) for number, value in enumerate(values[::-1])]
    draw.line(points, fill=(200, 60, 40), width=2)
    return image


if __name__ == "__main__":
    main()
