"""`impasto bulk` on a Ray of its own, beside the same engine without it, on the same photographs.

    make bulk-tools; python benchmarks/bulk.py [--count 2000] [--results docs/results.md]

`impasto stylize` reads and writes the same files in one process. The bare loop only computes: no files, no decoding.
2,000 photographs of 0.3 megapixels take about half an hour of an otherwise idle machine.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from engine import Row, machine, table
from pictures import jpeg, photograph
from PIL import Image

from trainer.evaluation.sections import write_section

ROOT = Path(__file__).resolve().parent.parent
WITH_RAY = ROOT / ".venv-bulk" / "bin" / "python"
PROGRAM = "from service.cli.main import main; main()"
OPTIONS = ("--style", "mosaic", "--stroke", "off")
SIZES = ((640, 480), (480, 640), (672, 448))
FIRST = 16
"""Outputs after which the speed without the start is measured: by then every worker computes."""

BARE_SECONDS = 20.0
TARGET = 0.95


@dataclass(frozen=True)
class Run:
    """A command over all photographs: its seconds, and those of each output from the start, with its megapixels."""

    seconds: float
    outputs: list[tuple[float, float]]

    @property
    def whole(self) -> float:
        """Megapixels/s, start and end included."""
        return sum(megapixels for _, megapixels in self.outputs) / self.seconds

    @property
    def steady(self) -> float:
        """Megapixels/s after the first outputs."""
        done = sorted(self.outputs)[min(FIRST, len(self.outputs) // 2) :]
        return sum(megapixels for _, megapixels in done[1:]) / (done[-1][0] - done[0][0])


def make(folder: Path, count: int) -> None:
    """Write photographs of three shapes."""
    folder.mkdir()
    kept = {size: [jpeg(photograph(*size, which)) for which in range(8)] for size in SIZES}
    for number in range(count):
        (folder / f"{number:05}.jpg").write_bytes(kept[SIZES[number % len(SIZES)]][number % 8])


def run(name: str, source: Path, dest: Path) -> Run:
    """Run `impasto bulk` or `impasto stylize`."""
    arguments = [source, dest] if name == "bulk" else [source, "-o", dest]
    python = WITH_RAY if name == "bulk" and WITH_RAY.exists() else sys.executable
    kept = {key: value for key, value in os.environ.items() if not key.startswith("IMPASTO_")}
    environment = kept | {"PYTHONPATH": str(ROOT), "IMPASTO_CHECKPOINTS": str(ROOT / "checkpoints")}
    command = [str(each) for each in (python, "-c", PROGRAM, name, *arguments, *OPTIONS)]
    begun, start = time.time(), time.perf_counter()
    subprocess.run(command, env=environment, cwd=source.parent, check=True)
    seconds = time.perf_counter() - start
    outputs = []
    for path in dest.rglob("*.jpg"):
        with Image.open(path) as image:
            outputs.append((path.stat().st_mtime - begun, image.width * image.height / 1e6))
    assert len(outputs) == len(list(source.iterdir())), f"{name}: {len(outputs)} outputs"
    return Run(seconds, outputs)


def bare() -> float:
    """Return the megapixels/s of a loop over the network."""
    command = [sys.executable, "benchmarks/bare.py", "stylize/mosaic", str(BARE_SECONDS), "0.3", "0.31"]
    return float(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)


def same(one: Path, other: Path) -> int:
    """Count the outputs of a folder that have the same bytes in another."""
    return sum(path.read_bytes() == (other / path.name).read_bytes() for path in one.glob("*.jpg"))


def measure(count: int) -> tuple[dict[str, Run], float, int]:
    """Run both commands; return the runs, the megapixels/s of the bare loop, and the number of equal outputs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder / "in", count)
        before = bare()
        runs = {each: run(each, folder / "in", folder / each) for each in ("stylize", "bulk")}
        return runs, (before + bare()) / 2, same(folder / "stylize", folder / "bulk")


def document(runs: dict[str, Run], loop: float, equal: int) -> str:
    """Return the section of docs/results.md."""
    count = len(runs["bulk"].outputs)
    rows: list[Row] = [
        {
            "": f"`impasto {name}`",
            "whole, s": each.seconds,
            "MP/s": each.whole,
            f"MP/s after {FIRST} images": each.steady,
            "of `impasto stylize`": each.whole / runs["stylize"].whole,
            "after the start": each.steady / runs["stylize"].steady,
            "of the bare loop": each.steady / loop,
        }
        for name, each in runs.items()
    ]
    ratio = runs["bulk"].steady / runs["stylize"].steady
    met = "met" if ratio >= TARGET else "missed"
    return "\n".join(
        [
            "## Bulk",
            "",
            f"`python benchmarks/bulk.py --results docs/results.md`, {machine()}.",
            f"{count} photographs of 0.3 megapixels in `mosaic`. {equal} outputs have the same bytes in both folders.",
            f"The bare loop only computes: {loop:.3g} MP/s.",
            "",
            table(rows),
            "",
            f"Target, {TARGET} of the engine without Ray, after the start: {met}, {ratio:.2f}.",
        ]
    )


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--results", type=Path)
    options = parser.parse_args()
    text = document(*measure(options.count))
    print(text)
    if options.results:
        write_section(options.results, "benchmarks/bulk.py", text)


if __name__ == "__main__":
    main()
