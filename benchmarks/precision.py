"""The difference between bf16 and fp32 in 8-bit levels, by bundled checkpoint. Prints a table, writes JSON to out/.

python benchmarks/precision.py [--results docs/results.md]
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from engine import Row, machine, table

from nets.pixels import from_network, to_network
from service.models.registry import load_registry
from trainer.data import read_rgb
from trainer.evaluation.sections import write_section

ROOT = Path(__file__).resolve().parent.parent
PHOTOGRAPH = ROOT / "docs" / "images" / "photographs" / "chelsea.jpg"


def main() -> None:
    """Compare, and write the section of docs/results.md if it is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path)
    options = parser.parse_args()
    rows = compared()
    out = ROOT / "out"
    out.mkdir(exist_ok=True)
    (out / "precision.json").write_text(json.dumps(rows, indent=2))
    if options.results:
        lines: list[Row] = [{"network": f"`{key}`", **row} for key, row in rows.items()]
        head = (
            f"## Reduced precision\n\n`python benchmarks/precision.py --results docs/results.md`, {machine()}.\n"
            f"bf16 compared with fp32 on `{PHOTOGRAPH.stem}`, in 8-bit levels.\n\n"
        )
        write_section(options.results, "benchmarks/precision.py", head + table(lines))


@torch.inference_mode()
def compared() -> dict[str, dict[str, float]]:
    """Compare on one CC0 photograph, in 8-bit levels."""
    batch = to_network([np.array(read_rgb(PHOTOGRAPH))])
    rows: dict[str, dict[str, float]] = {}
    for key, model in load_registry(ROOT / "checkpoints").models.items():
        exact = from_network(model.net(batch))[0].astype(int)
        with torch.autocast("cpu", torch.bfloat16):
            quick = from_network(model.net(batch))[0].astype(int)
        difference = np.abs(exact - quick)
        rows[key] = {
            "mean": round(float(difference.mean()), 2),
            "99th percentile": float(np.percentile(difference, 99)),
            "largest": int(difference.max()),
        }
        print(f"{key:24} {rows[key]}")
    return rows


if __name__ == "__main__":
    main()
