"""Make the pictures of the README from the CC0 photographs in docs/images and the bundled checkpoints."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from nets.checkpoint import load
from trainer.samples import apply

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
CHECKPOINTS = ROOT / "checkpoints"
PHOTOGRAPHS = ("coffee", "chelsea", "rocket")
ROW_PX = 300
CROP = {"x4": ("chelsea", (120, 70, 204, 133)), "x2": ("coffee", (230, 100, 398, 226))}


def main() -> None:
    """Write styles.jpg (photographs beside every style) and upscale.png (bicubic beside every factor)."""
    styles().save(IMAGES / "styles.jpg", quality=90)
    upscale().save(IMAGES / "upscale.png", optimize=True)


def styles() -> Image.Image:
    """A row for the photographs and one for each style."""
    photographs = [read(name) for name in PHOTOGRAPHS]
    rows = [photographs]
    for path in sorted((CHECKPOINTS / "stylize").glob("*.safetensors")):
        net = load(path).net
        rows.append([Image.fromarray(apply(net, np.array(image), torch.device("cpu"))) for image in photographs])
    return sheet(
        [[image.resize((round(image.width * ROW_PX / image.height), ROW_PX)) for image in row] for row in rows]
    )


def upscale() -> Image.Image:
    """For each factor a row: bicubic, then the network, from the same small crop."""
    rows = []
    for name, (photograph, box) in CROP.items():
        net = load(CHECKPOINTS / "upscale" / f"{name}.safetensors").net
        low = read(photograph).crop(box)
        answer = Image.fromarray(apply(net, np.array(low), torch.device("cpu")))
        rows.append([low.resize(answer.size, Image.Resampling.BICUBIC), answer])
    return sheet(rows)


def read(name: str) -> Image.Image:
    """A photograph by its name."""
    return Image.open(IMAGES / f"{name}.jpg").convert("RGB")


def sheet(rows: list[list[Image.Image]]) -> Image.Image:
    """Rows of pictures of one height each, on white."""
    width = max(sum(image.width for image in row) for row in rows)
    result = Image.new("RGB", (width, sum(row[0].height for row in rows)), "white")
    y = 0
    for row in rows:
        x = 0
        for image in row:
            result.paste(image, (x, y))
            x += image.width
        y += row[0].height
    return result


if __name__ == "__main__":
    main()
