"""Upscalers on photographs as they are found: clean, and as JPEGs of quality 80, 60 and 40, before they are enlarged.

    IMPASTO_BENCHMARKS=DIR IMPASTO_VGG16=FILE python benchmarks/photographs.py [--results docs/results.md]

DIR has set5, set14 and photographs; without the last one, docs/images/photographs is taken. Reduced by antialiased
bicubic. PSNR on Y, LPIPS, DISTS (with `pip install --no-deps DISTS-pytorch`), and phase: the sharpness by place in a
cell of factor x factor pixels, the largest over the smallest, which is 1 without a grid.
trainer.evaluation.public_upscalers names the packages that add public networks.
"""

import argparse
import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import mean

import dists
import numpy as np
import torch
from engine import Row, machine, table
from PIL import Image

from nets.checkpoint import load
from nets.pixels import Picture
from nets.super_resolution import SuperResolutionConfig
from trainer.degradation import through_jpeg
from trainer.evaluation.evaluate import enlarger
from trainer.evaluation.metrics import Enlarge, benchmark_pairs, bicubic, compared_luma, psnr
from trainer.evaluation.public_upscalers import installed_upscalers
from trainer.evaluation.sections import write_section
from trainer.evaluation.style_distance import grid
from trainer.loop.precision import choose_precision
from trainer.objective.loss_network import load_vgg16
from trainer.objective.perceptual_distance import PerceptualDistance

ROOT = Path(__file__).resolve().parent.parent
QUALITIES = (None, 80, 60, 40)
_DIGITS = {"PSNR": 2, "phase": 2}


def sets() -> dict[str, Path]:
    """Return the folders of photographs by name."""
    root = os.environ.get("IMPASTO_BENCHMARKS")
    bundled = ROOT / "docs" / "images" / "photographs"
    if root is None:
        return {"photographs": bundled}
    own = Path(root) / "photographs"
    public = {name: Path(root) / name.lower() for name in ("Set5", "Set14")}
    return public | {"photographs": own if own.is_dir() else bundled}


def methods(folder: Path, factor: int) -> dict[str, Enlarge]:
    """Return bicubic, our upscalers of one factor, and the installed public ones."""
    found: dict[str, Enlarge] = {"bicubic": bicubic(factor)}
    for path in sorted((folder / "upscale").glob(f"x{factor}*.safetensors")):
        checkpoint = load(path)
        if isinstance(checkpoint.config, SuperResolutionConfig):
            found[path.stem] = enlarger(checkpoint)
    return found | installed_upscalers(factor)


def measured(enlarge: Enlarge, pairs: list[tuple[Picture, Picture]], factor: int, distances: "Distances") -> Row:
    """Return the means over pairs of a small picture and the original, as they are shown."""
    rows = [distances.of(enlarge(low), truth, factor) for low, truth in pairs]
    return {name: f"{mean(row[name] for row in rows):.{_DIGITS.get(name, 4)}f}" for name in rows[0]}


class Distances:
    """The measures of one picture."""

    def __init__(self) -> None:
        vgg16 = load_vgg16()
        self._lpips, self._dists = PerceptualDistance(vgg16), dists.installed(vgg16)
        self._quick = choose_precision("auto", torch.device("cpu")) == "bf16"  # changes LPIPS by about 0.001

    def of(self, answer: Picture, truth: Picture, factor: int) -> Mapping[str, float]:
        """Measure an enlarged picture against the original."""
        unit = torch.from_numpy(np.array(answer)).permute(2, 0, 1)[None].float() / 255
        found = {"PSNR": psnr(*compared_luma(answer, truth, factor))}
        with torch.autocast("cpu", torch.bfloat16, enabled=self._quick):
            found["LPIPS"] = self._lpips.lpips(answer, truth)
            if self._dists:
                found["DISTS"] = self._dists(answer, truth)
        return found | {"phase": grid(unit, factor)}


def kept(low: Picture, quality: int | None) -> Picture:
    """Return a picture as it comes back from a JPEG of that quality; None: as it is."""
    return low if quality is None else np.array(through_jpeg(Image.fromarray(low), quality))


def command(arguments: list[str]) -> str:
    """Return the command line without the file that it writes."""
    at = arguments.index("--results") if "--results" in arguments else len(arguments)
    return shlex.join(["python", "benchmarks/photographs.py", *arguments[:at], *arguments[at + 2 :]])


def main() -> None:
    """Measure each method on each set at each quality."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoints", type=Path, default=ROOT / "checkpoints")
    parser.add_argument("--factor", type=int, default=4)
    parser.add_argument("--set", action="append", choices=list(sets()), help="Only this set; repeatable.")
    parser.add_argument("--method", action="append", help="Only this method; repeatable.")
    parser.add_argument("--quality", type=int, action="append", help="JPEGs of this quality only; repeatable.")
    parser.add_argument("--results", type=Path, help="Also write the section to this file.")
    options = parser.parse_args()
    distances, found = Distances(), methods(options.checkpoints, options.factor)
    if unknown := set(options.method or []) - set(found):
        parser.error(f"no method {', '.join(sorted(unknown))}; there are {', '.join(found)}")
    found = {name: each for name, each in found.items() if not options.method or name in options.method}
    folders = {name: folder for name, folder in sets().items() if not options.set or name in options.set}
    pairs_of = {name: list(benchmark_pairs(folder, options.factor)) for name, folder in folders.items()}
    parts = []
    for name, images in pairs_of.items():
        originals = [(low, truth) for _, low, truth in images]
        rows: list[Row] = []
        for quality in options.quality or QUALITIES:
            pairs = [(kept(low, quality), truth) for low, truth in originals]
            for method, enlarge in found.items():
                row: Row = {"input": "clean" if quality is None else f"JPEG {quality}", "method": method}
                rows.append(row | measured(enlarge, pairs, options.factor, distances))
                print(name, rows[-1], flush=True)
        title = f"### {name}, x{options.factor}, as found"
        parts.append(f"{title}\n\n{len(originals)} photographs.\n\n{table(rows)}")
    if options.results:
        head = (
            f"## Photographs as they are found\n\n`IMPASTO_BENCHMARKS=DIR {command(sys.argv[1:])}`, "
            f"{machine()}. The small picture is clean, or was kept as a JPEG. "
            "LPIPS and DISTS, in bfloat16 where the CPU has it: lower is better. "
            "Phase: 1 is no grid."
        )
        write_section(options.results, "benchmarks/photographs.py", "\n\n".join([head, *parts]))


if __name__ == "__main__":
    main()
