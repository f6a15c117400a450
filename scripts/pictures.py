"""Make the contact sheets of the README from the CC0 photographs in docs/images and the bundled checkpoints."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from nets.checkpoint import load
from nets.super_resolution import FACTORS
from trainer.data import reduce
from trainer.degradation import through_jpeg
from trainer.loop.samples import apply

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
CHECKPOINTS = ROOT / "checkpoints"
PHOTOGRAPHS = ("coffee", "chelsea", "rocket")
CELL_PX = (360, 240)
CROP = ("chelsea", (104, 40, 392, 232))  # 288 x 192: divisible by every factor
JPEG_QUALITY = 60
JPEG_CROPS = (("astronaut", (128, 16, 416, 272)), ("coffee", (240, 100, 528, 356)))
LABEL_PX = 26
FIRST_STYLES = ("mosaic", "starry_night")
CPU = torch.device("cpu")


def main() -> None:
    """Write styles.jpg (every style on the same photographs), upscale.jpg (every factor on one crop) and photo.jpg."""
    styles().save(IMAGES / "styles.jpg", quality=86, optimize=True)
    upscale().save(IMAGES / "upscale.jpg", quality=92, optimize=True)
    photo().save(IMAGES / "photo.jpg", quality=92, optimize=True)


def styles() -> Image.Image:
    """Return two columns of strips: the photographs, then every style on them."""
    photographs = [read(name).resize(CELL_PX, Image.Resampling.LANCZOS) for name in PHOTOGRAPHS]
    strips = [strip("the photographs", photographs)]
    names = [path.stem for path in sorted((CHECKPOINTS / "stylize").glob("*.safetensors"))]
    names.remove("neutral")  # it returns the photograph
    for name in sorted(names, key=lambda name: (name not in FIRST_STYLES, name)):
        net = load(CHECKPOINTS / "stylize" / f"{name}.safetensors").net
        strips.append(strip(name, [Image.fromarray(apply(net, np.array(image), CPU)) for image in photographs]))
    return stacked([beside(strips[i : i + 2], 12) for i in range(0, len(strips), 2)])


def upscale() -> Image.Image:
    """Return a strip per factor: bicubic, faithful, perceptual, and the original."""
    photograph, box = CROP
    truth = read(photograph).crop(box)
    strips = []
    for factor in FACTORS:
        low = reduce(truth, factor)
        answers = [low.resize(truth.size, Image.Resampling.BICUBIC)]
        for name in (f"x{factor}", f"x{factor}_perceptual"):
            net = load(CHECKPOINTS / "upscale" / f"{name}.safetensors").net
            answers.append(Image.fromarray(apply(net, np.array(low), CPU)))
        label = f"x{factor}: bicubic, faithful, perceptual, and the original"
        strips.append(strip(label, [image.resize((432, 288), Image.Resampling.LANCZOS) for image in [*answers, truth]]))
    return stacked(strips)


def photo() -> Image.Image:
    """Return strips of small JPEGs enlarged four times: bicubic, both sources, and the original."""
    strips = []
    for name, box in JPEG_CROPS:
        truth = read(name).crop(box)
        low = through_jpeg(reduce(truth, 4), JPEG_QUALITY)
        answers = [low.resize(truth.size, Image.Resampling.BICUBIC)]
        for network in ("x4", "x4_photo"):
            net = load(CHECKPOINTS / "upscale" / f"{network}.safetensors").net
            answers.append(Image.fromarray(apply(net, np.array(low), CPU)))
        label = f"a JPEG of quality {JPEG_QUALITY}, x4: bicubic, source=clean, source=photo, and the original"
        strips.append(strip(label, [*answers, truth]))
    return stacked(strips)


def read(name: str) -> Image.Image:
    """Read a photograph by its name."""
    return Image.open(IMAGES / "photographs" / f"{name}.jpg").convert("RGB")


def strip(label: str, images: list[Image.Image]) -> Image.Image:
    """Return images side by side under a label."""
    row = beside(images, 0)
    result = Image.new("RGB", (row.width, row.height + LABEL_PX), "white")
    ImageDraw.Draw(result).text((4, 3), label, "black", ImageFont.load_default(18))
    result.paste(row, (0, LABEL_PX))
    return result


def beside(images: list[Image.Image], gap_px: int) -> Image.Image:
    """Return images of one height from left to right, on white."""
    width = sum(image.width for image in images) + gap_px * (len(images) - 1)
    result = Image.new("RGB", (width, images[0].height), "white")
    x = 0
    for image in images:
        result.paste(image, (x, 0))
        x += image.width + gap_px
    return result


def stacked(images: list[Image.Image]) -> Image.Image:
    """Return images from top to bottom, on white."""
    result = Image.new("RGB", (max(image.width for image in images), sum(image.height for image in images)), "white")
    y = 0
    for image in images:
        result.paste(image, (0, y))
        y += image.height
    return result


if __name__ == "__main__":
    main()
