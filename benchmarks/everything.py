"""The parts of `make bench`: each runs in its own process and writes a section of docs/results.md.

    .venv-bench/bin/python benchmarks/everything.py [PART ...] [--results docs/results.md]

Prints the time of each part. If a part fails, the others still run, and the exit code is not 0.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("startup", "networks", "upscaling", "paper", "serving")
"""Order of the parts, short ones first."""


def run(part: str) -> bool:
    """Run a part; return whether it succeeded."""
    if part == "paper" and not os.environ.get("IMPASTO_VGG16"):
        print("skipped: paper (IMPASTO_VGG16 names no file with VGG16's weights)", flush=True)
        return True
    if part == "upscaling" and not os.environ.get("IMPASTO_BENCHMARKS"):
        print("skipped: upscaling (IMPASTO_BENCHMARKS names no folder with set5 and set14)", flush=True)
        return True
    print(f"\n--- {part} ---", flush=True)
    start = time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    done = subprocess.run([sys.executable, f"benchmarks/{part}.py"], cwd=ROOT, env=environment, check=False)
    print(f"--- {part}: {time.perf_counter() - start:.0f} s, exit {done.returncode}", flush=True)
    return done.returncode == 0


def main() -> None:
    """Run all parts, or the named ones."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"Of {', '.join(PARTS)}; default: all.")
    parser.add_argument("--results", type=Path, default=ROOT / "docs" / "results.md")
    options = parser.parse_args()
    for part in options.parts:
        if part not in PARTS:
            parser.error(f"no part {part!r}; there are {', '.join(PARTS)}")
    start = time.perf_counter()
    failed = [part for part in options.parts or PARTS if not run(part)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "benchmarks/document.py", "--results", str(options.results)]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    print(f"\nAll of it: {(time.perf_counter() - start) / 60:.1f} minutes. Written: {options.results}")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
