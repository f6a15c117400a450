"""Pack what a family's training needs into one small folder, to carry it to a machine with a GPU and no network.

python scripts/pack_training.py trainer/configs/family.toml --data ~/photographs --styles ~/paintings --to out/packed

writes OUT/vgg16.safetensors (up to relu5_1, in bfloat16), OUT/photographs (reduced JPEGs), OUT/styles and OUT/train.sh.
`sh OUT/train.sh MINUTES RUN` trains for some minutes and leaves the run in the folder RUN, where it can be resumed or
published. VGG16 comes from --vgg16, from IMPASTO_VGG16, or from torchvision.
"""

import argparse
import shutil
from pathlib import Path

import safetensors.torch
import torch
from PIL import Image

from trainer.commands.options import find_style_image
from trainer.config import FamilyRecipe, read_recipe
from trainer.data import list_photographs, read_rgb
from trainer.errors import TrainerError
from trainer.objective.loss_network import LAYERS, load_vgg16

TRAIN = """#!/bin/sh
# sh train.sh MINUTES RUN [more options of `python -m trainer family`]: trains, from the root of Impasto's checkout.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
minutes=$1 run=$2
shift 2
IMPASTO_STYLES="$here/styles" exec "${{PYTHON:-python3}}" -m trainer family "{config}" --data "$here/photographs" \\
    --vgg16 "$here/vgg16.safetensors" --minutes "$minutes" --run "$run" "$@"
"""


def main() -> None:
    """Pack what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--data", type=Path, action="append", required=True)
    parser.add_argument("--styles", type=Path, help="folder of the paintings; default: IMPASTO_STYLES")
    parser.add_argument("--vgg16", type=Path)
    parser.add_argument("--to", type=Path, default=Path("out/packed"))
    parser.add_argument("--short-side", type=int, default=320)
    parser.add_argument("--quality", type=int, default=82)
    options = parser.parse_args()
    recipe = read_recipe(options.config, FamilyRecipe)
    shutil.rmtree(options.to, ignore_errors=True)
    pack_weights(options.vgg16, options.to / "vgg16.safetensors")
    pack_photographs(options.data, options.to / "photographs", options.short_side, options.quality)
    (options.to / "styles").mkdir()
    for style in recipe.styles:
        if style.style_image:
            given = options.styles / style.style_image if options.styles else None
            source = given if given and given.is_file() else find_style_image(style.style_image, options.config)
            shutil.copy(source, options.to / "styles" / style.style_image)
    (options.to / "train.sh").write_text(TRAIN.format(config=options.config))
    size = sum(path.stat().st_size for path in options.to.rglob("*") if path.is_file())
    print(f"{options.to}: {size / 2**20:.1f} MiB")


def pack_weights(vgg16: Path | None, to: Path) -> None:
    """Write the layers of VGG16 that losses look at, in bfloat16."""
    deepest = max(LAYERS.values())
    weights = {
        name: tensor.to(torch.bfloat16).contiguous()
        for name, tensor in load_vgg16(vgg16).items()
        if name.startswith("features.") and int(name.split(".")[1]) < deepest
    }
    to.parent.mkdir(parents=True, exist_ok=True)
    safetensors.torch.save_file(weights, to)


def pack_photographs(folders: list[Path], to: Path, short_side_px: int, quality: int) -> None:
    """Write every photograph that can be read as a JPEG with at most this short side."""
    to.mkdir(parents=True)
    for number, path in enumerate(list_photographs(folders)):
        try:
            picture = read_rgb(path)
        except TrainerError as error:
            print(f"left out: {error}")
            continue
        scale = min(1.0, short_side_px / min(picture.size))
        size = (round(picture.width * scale), round(picture.height * scale))
        picture.resize(size, Image.Resampling.LANCZOS).save(to / f"{number:06d}.jpg", quality=quality)


if __name__ == "__main__":
    main()
