"""The difference between bf16 and fp32 in 8-bit levels, by bundled checkpoint. Prints a table, writes JSON to out/."""

import json
from pathlib import Path

import numpy as np
import torch

from nets.pixels import from_network, to_network
from service.models.registry import load_registry
from trainer.data import read_rgb

ROOT = Path(__file__).resolve().parent.parent
PHOTOGRAPH = ROOT / "docs" / "images" / "photographs" / "chelsea.jpg"


@torch.inference_mode()
def main() -> None:
    """Compare on one CC0 photograph, in 8-bit levels."""
    batch = to_network([np.array(read_rgb(PHOTOGRAPH))])
    rows = {}
    for key, model in load_registry(ROOT / "checkpoints").models.items():
        exact = from_network(model.net(batch))[0].astype(int)
        with torch.autocast("cpu", torch.bfloat16):
            quick = from_network(model.net(batch))[0].astype(int)
        difference = np.abs(exact - quick)
        rows[key] = {
            "mean": round(float(difference.mean()), 2),
            "percentile_99": float(np.percentile(difference, 99)),
            "largest": int(difference.max()),
        }
        print(f"{key:24} {rows[key]}")
    out = ROOT / "out"
    out.mkdir(exist_ok=True)
    (out / "precision.json").write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
