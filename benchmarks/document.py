"""Write the sections of docs/results.md that come from out/*.json:

python benchmarks/document.py [--results docs/results.md]
"""

import argparse
import json
import re
from pathlib import Path

import engine
import page
from engine import machine, table
from report import sections, serving, soak

from trainer.evaluation.sections import write_section

ROOT = Path(__file__).resolve().parent.parent
_GRID = re.compile(r"level [013-9]\b.*filter|method [026]$|speed (8|10),|optimised tables|all threads")


def main() -> None:
    """Write a section for each part that has been measured."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--results", type=Path, default=ROOT / "docs" / "results.md")
    parser.add_argument("--out", type=Path, default=ROOT / "out", help="Where the JSON is.")
    options = parser.parse_args()
    results, out = options.results, options.out
    if (path := out / "engine.json").exists():
        write_section(results, "benchmarks/engine.py", engine.document(json.loads(path.read_text())))
    if (path := out / "encoding.json").exists():
        write_section(results, "benchmarks/encoding.py", encoding(json.loads(path.read_text())))
    if (path := out / "soak.json").exists():
        runs = json.loads(path.read_text())
        if (run := runs.pop("jobs of replicas", None)) is not None:
            write_section(results, "tests/soak/test_replicas.py", soak.replicas(run))
        if runs:
            write_section(results, "make soak", soak.document(runs))
    if (path := out / "page.json").exists():
        write_section(results, "benchmarks/page.py", page.document(json.loads(path.read_text())))
    for part in (serving.serving, sections.networks, sections.paper, sections.upscaling, sections.startup):
        if (path := out / f"{part.__name__}.json").exists():
            text = part(json.loads(path.read_text()), results.parent / "images")
            write_section(results, f"benchmarks/{part.__name__}.py", text)


def encoding(rows: list[dict[str, str | float | None]]) -> str:
    """Return milliseconds, bits and decibels of each encoder, and milliseconds of each decoder, as Markdown.

    The table leaves out most of the grid of levels, methods and speeds, which is in out/encoding.json.
    """
    encoders = [row for row in rows if "encode" in row and not _GRID.search(str(row["what"]))]
    first, second = ([row for row in encoders if row["picture"] == picture] for picture in ("photograph", "painted"))
    lines: list[engine.Row] = [
        {
            "": f"{a['encode']}, {a['what']}",
            **{
                f"{name}, {unit}": "exact" if row[key] is None else float(row[key] or 0)
                for name, row in (("photograph", a), ("painted", b))
                for unit, key in (("ms/MP", "ms_per_megapixel"), ("bits/px", "bits_per_pixel"), ("dB", "psnr_db"))
            },
        }
        for a, b in zip(first, second, strict=True)
    ]
    decoders: list[engine.Row] = [
        {"": f"{row['decode']}, {row['what']}", "ms/MP": float(row["ms_per_megapixel"] or 0)}
        for row in rows
        if "decode" in row
    ]
    head = (
        "## Encoders\n\n`python benchmarks/encoding.py`, then `python benchmarks/document.py`, "
        f"{machine()}.\nA photograph of 2 megapixels, and the same in `mosaic`; one thread. "
        "[ADR 11](decisions/0011-images-in-and-out.md) draws the conclusions.\n"
    )
    return "\n".join([head, table(lines), "", "Decoding the photograph:", "", table(decoders)])


if __name__ == "__main__":
    main()
